"""A language model in this process: prompts in, schema-valid texts out, a batch at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neggen.generation.backends.base import RequestFailed
from neggen.generation.backends.constrained import SchemaConstraint
from neggen.generation.backends.local_loading import LoadedModel
from neggen.generation.requests import Completion, Usage

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

Outcome = Completion | RequestFailed


@dataclass(frozen=True)
class Prompt:
    """What the model is asked.

    Attributes:
        system: the system prompt.
        user: the user prompt; untrusted, so control tokens in it are defused.
        schema: JSON schema of the answer.
        seed: of this prompt's sampling.
        picture: a decoded picture, if there is one.
    """

    system: str
    user: str
    schema: Mapping[str, Any] = field(repr=False)
    seed: int = 0
    picture: Image.Image | None = field(default=None, repr=False)


class LocalModel:
    """Answers batches. One thread at a time may use it.

    Attributes:
        largest_batch: the most prompts it can hold at once, as far as is known.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        largest_batch: int,
        max_new_tokens: int,
        temperature: float,
        stop: threading.Event,
    ) -> None:
        """Take a loaded model.

        Args:
            loaded: the model.
            largest_batch: the most prompts at once to begin with.
            max_new_tokens: an answer that is longer is cut off there.
            temperature: of the sampling; 0 takes the likeliest token.
            stop: ends the work at the next token when set.
        """
        self._loaded = loaded
        self.largest_batch = largest_batch
        self._max_new_tokens = max_new_tokens
        self._temperature = temperature
        self._stop = stop

    def answer(self, prompts: Sequence[Prompt]) -> list[Outcome]:
        """Answer prompts that all have a picture or all have none, in their order.

        A batch that the GPU cannot hold is halved and tried again.

        Raises:
            Interrupted: If told to stop.
            NegGenError: If a schema cannot be enforced.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(prompts):
            part = prompts[len(outcomes) :][: self.largest_batch]
            answered = self._try(part)
            if answered is not None:
                outcomes.extend(answered)
            elif len(part) > 1:
                self.largest_batch = (len(part) + 1) // 2
                logger.warning(
                    "The GPU's memory is full; going on with batches of %d.", self.largest_batch
                )
            else:
                outcomes.append(
                    RequestFailed("out of memory", "The GPU's memory cannot hold one prompt.")
                )
        return outcomes

    def _try(self, prompts: Sequence[Prompt]) -> list[Outcome] | None:
        """Return None if the GPU's memory does not suffice."""
        import torch

        try:
            with torch.inference_mode():
                return self._answer(prompts)
        except torch.OutOfMemoryError:
            pass  # which holds on to the tensors until this block ends
        torch.cuda.empty_cache()
        return None

    def _answer(self, prompts: Sequence[Prompt]) -> list[Outcome]:
        inputs = self._inputs(prompts)
        lengths = inputs["attention_mask"].sum(1).tolist()
        room = self._loaded.longest
        if room is None or max(lengths) + self._max_new_tokens <= room:
            return self._generate(prompts, inputs, lengths)
        fits = [length + self._max_new_tokens <= room for length in lengths]
        fitting = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
        answers = iter(self._answer(fitting) if fitting else ())
        too_long = RequestFailed(
            "prompt too long",
            f"With {self._max_new_tokens} tokens for the answer it passes the model's {room}.",
        )
        return [next(answers) if fit else too_long for fit in fits]

    def _generate(
        self, prompts: Sequence[Prompt], inputs: dict[str, Any], lengths: list[int]
    ) -> list[Outcome]:
        loaded = self._loaded
        constraint = SchemaConstraint(
            loaded.grammar_tokenizer,
            [prompt.schema for prompt in prompts],
            end_tokens=loaded.end_tokens,
            temperature=self._temperature,
            seeds=[prompt.seed for prompt in prompts],
            stop=self._stop,
        )
        tokens = loaded.model.generate(
            **inputs, max_new_tokens=self._max_new_tokens, logits_processor=[constraint]
        )  # [prompts, padded prompt + answer]
        answers = tokens[:, inputs["input_ids"].shape[1] :].tolist()
        return [
            self._outcome(answer, length) for answer, length in zip(answers, lengths, strict=True)
        ]

    def _inputs(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        loaded = self._loaded
        texts = loaded.processor.apply_chat_template(
            [self._conversation(prompt) for prompt in prompts],
            tokenize=False,
            add_generation_prompt=True,
            **loaded.template_options,
        )
        pictures = [[prompt.picture] for prompt in prompts if prompt.picture is not None]
        beginning = loaded.tokenizer.bos_token
        inputs = loaded.processor(
            text=texts,
            **({"images": pictures} if pictures else {}),
            padding=True,
            padding_side="left",
            # Templates that write the first token themselves would get it twice.
            add_special_tokens=not (beginning and texts[0].startswith(beginning)),
            return_tensors="pt",
        )
        device, dtype = loaded.model.device, loaded.model.dtype
        return {
            name: value.to(device, dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _conversation(self, prompt: Prompt) -> list[dict[str, Any]]:
        # Splits tokens such as <image> and <|im_end|>, which an item's text may hold.
        user = self._loaded.control.sub(lambda found: f"{found[0][0]} {found[0][1:]}", prompt.user)
        turns = {"system": prompt.system, "user": user}
        if not self._loaded.has_system_role:
            turns = {"user": f"{prompt.system}\n\n{user}"}
        if not self._loaded.sees:
            return [{"role": role, "content": text} for role, text in turns.items()]
        conversation: list[dict[str, Any]] = [
            {"role": role, "content": [{"type": "text", "text": text}]}
            for role, text in turns.items()
        ]
        if prompt.picture is not None:
            conversation[-1]["content"].insert(0, {"type": "image"})
        return conversation

    def _outcome(self, answer: list[int], prompt_tokens: int) -> Outcome:
        loaded = self._loaded
        ends = [place for place, token in enumerate(answer) if token in loaded.end_tokens]
        if not ends:
            return RequestFailed(
                "cut at max_new_tokens",
                f"The answer was cut after {len(answer)} tokens; allow more with max_new_tokens.",
            )
        text = loaded.tokenizer.decode(
            answer[: ends[0]], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Completion(text, Usage(prompt_tokens, ends[0] + 1))
