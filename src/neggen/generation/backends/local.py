"""A vision-language model in this process: no server, no network once it is downloaded."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neggen.data.picture import UnreadablePicture, open_picture
from neggen.errors import NegGenError, nearest, not_installed
from neggen.generation.backends.base import RequestFailed
from neggen.generation.backends.local_files import find_model, fingerprint
from neggen.generation.backends.local_loading import DTYPES, load_model
from neggen.generation.backends.local_model import LocalModel, Outcome, Prompt
from neggen.generation.requests import Completion, Request

if TYPE_CHECKING:
    from PIL import Image

VERSION = 1
"""Part of every journal key; raise it when the same model would be asked differently."""
LONGEST_SIDE = 768
"""Pixels of a picture's longer side as the model's processor gets it."""
LINGER = 0.02
"""Seconds to wait for further requests before a batch goes that is not full."""


@dataclass(frozen=True)
class _Waiting:
    prompt: Prompt
    outcome: asyncio.Future[Completion]


class LocalBackend:
    """Runs a transformers image-text-to-text model, or for texts alone a causal language model.

    Requests that wait at the same time are answered as one batch, and a grammar built from each
    request's JSON schema leaves only tokens that keep its answer valid. An answer without sampling
    (``temperature=0``) depends on the request alone; with sampling on its seed too, which is made
    of the request's key. Its batch mates can change it only by the rounding of the logits, which
    differs between batch sizes: ``batch_size=1`` is exactly repeatable.

    The model's files are looked for when the backend is made; it is loaded when first asked.
    """

    name = "local"
    finished = False

    def __init__(
        self,
        model: str,
        *,
        device: str = "cpu",
        batch_size: int = 8,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
        revision: str | None = None,
        dtype: str = "auto",
    ) -> None:
        """Find the model, and download it if need be.

        Args:
            model: a Hugging Face name, or a folder as ``save_pretrained`` writes it.
            device: where it runs, such as ``cpu`` or ``cuda``.
            batch_size: most requests answered at once, at least 1.
            max_new_tokens: longest answer in tokens; a longer one is cut off and so invalid.
            temperature: of the sampling; 0 always takes the likeliest token.
            seed: seeds the sampling, if there is any.
            revision: branch, tag or commit of a model on the Hub.
            dtype: of the weights: ``float32``, ``bfloat16`` or ``float16``; ``auto`` is bfloat16
                on a GPU and float32 on a CPU.

        Raises:
            NegGenError: If a package or the model is missing, or a setting is out of range.
        """
        if find_spec("transformers") is None or find_spec("llguidance") is None:
            raise not_installed("local", "Local models need further packages")
        for setting, value in (("batch_size", batch_size), ("max_new_tokens", max_new_tokens)):
            if value < 1:
                raise NegGenError(f"{setting} must be at least 1, but is {value}.")
        if not temperature >= 0:
            raise NegGenError(f"temperature must be at least 0, but is {temperature}.")
        if dtype not in DTYPES:
            raise NegGenError(
                f"There is no dtype '{dtype}'; choose from {', '.join(DTYPES)}."
                f"{nearest(dtype, DTYPES)}"
            )
        self._folder = find_model(model, revision)
        self.model = Path(model).name if Path(model).expanduser().is_dir() else model
        self.parameters: Mapping[str, Any] = {
            "version": VERSION,
            "weights": fingerprint(self._folder),
            "dtype": dtype,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "seed": seed if temperature > 0 else None,
            "longest_side": LONGEST_SIDE,
        }
        self._device = device
        self._batch_size = batch_size
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local-model")
        self._loaded: LocalModel | None = None
        self._waiting: list[_Waiting] = []
        self._serving: asyncio.Task[None] | None = None

    async def complete(self, request: Request) -> Completion:
        """Answer one request; see ``Backend``."""
        picture = None
        if request.image is not None:
            picture = await asyncio.to_thread(_open, request.image)
        prompt = Prompt(
            request.system, request.user, request.schema, self._seed_of(request), picture
        )
        waiting = _Waiting(prompt, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await waiting.outcome

    async def close(self) -> None:
        """Stop at the next token and let go of the model."""
        self._stop.set()
        if self._serving is not None:
            self._serving.cancel()
        for waiting in self._waiting:
            waiting.outcome.cancel()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._loaded = None

    def _seed_of(self, request: Request) -> int:
        key = request.key(self.name, self.model, self.parameters)
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7])

    async def _serve(self) -> None:
        """Answer batches until nobody waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._gather()
            taken, self._waiting = (
                self._waiting[: self._batch_size],
                self._waiting[self._batch_size :],
            )
            batch = [waiting for waiting in taken if not waiting.outcome.done()]
            prompts = [waiting.prompt for waiting in batch]
            outcomes: Sequence[Completion | Exception]
            try:
                outcomes = await loop.run_in_executor(self._thread, self._answer, prompts)
            except asyncio.CancelledError:
                for waiting in batch:
                    waiting.outcome.cancel()
                raise
            except Exception as error:  # whatever it is, nobody may wait for ever
                outcomes = [error] * len(batch)
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if waiting.outcome.done():
                    continue  # nobody waits for it any more
                if isinstance(outcome, Exception):
                    waiting.outcome.set_exception(outcome)
                else:
                    waiting.outcome.set_result(outcome)

    async def _gather(self) -> None:
        """Wait while further requests keep coming and the batch is not full."""
        count = 0
        while count < len(self._waiting) < self._batch_size:
            count = len(self._waiting)
            await asyncio.sleep(LINGER)

    def _answer(self, prompts: Sequence[Prompt]) -> list[Outcome]:
        """Run in the one thread that touches the model."""
        if self._loaded is None:
            loaded = load_model(
                self._folder, device=self._device, dtype=str(self.parameters["dtype"])
            )
            self._sees = loaded.sees
            self._loaded = LocalModel(
                loaded,
                largest_batch=self._batch_size,
                max_new_tokens=self.parameters["max_new_tokens"],
                temperature=self.parameters["temperature"],
                stop=self._stop,
            )
        answers: dict[int, Outcome] = {}
        for with_picture in (False, True):
            chosen = [
                index
                for index, prompt in enumerate(prompts)
                if (prompt.picture is not None) == with_picture
            ]
            if not chosen:
                continue
            if with_picture and not self._sees:
                raise NegGenError(
                    f"The model '{self.model}' cannot see pictures; choose a vision-language "
                    "model, or describe the texts only."
                )
            outcomes = self._loaded.answer([prompts[index] for index in chosen])
            answers.update(zip(chosen, outcomes, strict=True))
        return [answers[index] for index in range(len(prompts))]


def _open(image: bytes) -> Image.Image:
    try:
        return open_picture(image, LONGEST_SIDE)
    except UnreadablePicture as error:
        raise RequestFailed("unreadable picture", f"The picture is unusable: {error}.") from None
