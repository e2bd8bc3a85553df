"""Questions to a backend, and the keys under which their answers are remembered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from neggen.generation.records import Modality

Plan = Literal["fused", "staged"]
Step = Literal["fused", "describe", "mask", "complete"]


@dataclass(frozen=True)
class Request:
    """One call: everything a backend needs, and nothing that is not part of the question.

    Attributes:
        item_id: external id of the item asked about.
        modality: which side of the item.
        step: which of the plan's calls this is.
        attempt: 1 for the first time, then one more for each invalid answer.
        system: the system prompt.
        user: the user prompt.
        schema: JSON schema of the answer.
        image: bytes of the picture as stored, if the step looks at one.
        completion: which completion of the template it serves, from 0.
    """

    item_id: str
    modality: Modality
    step: Step
    attempt: int
    system: str
    user: str
    schema: Mapping[str, Any] = field(repr=False)
    image: bytes | None = field(default=None, repr=False)
    completion: int = 0

    def key(self, backend: str, model: str | None, parameters: Mapping[str, Any]) -> str:
        """Return the SHA-256 under which the answer of this backend and model is kept.

        It covers the picture's *bytes* and the prompts' contents, so that an exchanged picture or
        an edited template is a new question. The item's id is part of it: two items never share an
        answer.
        """
        question = {
            "backend": backend,
            "model": model,
            "parameters": dict(parameters),
            "item": [self.item_id, self.modality],
            "step": [self.step, self.completion, self.attempt],
            "prompts": [self.system, self.user],
            "schema": self.schema,
            "image": _sha256(self.image),
        }
        return _digest(question)


@dataclass(frozen=True)
class ItemInput:
    """One side of one item.

    Attributes:
        item_id: external id.
        modality: which side; ``image`` needs ``image``, ``text`` needs ``text``.
        text: the attributes as ``name: value`` lines.
        image: the picture's bytes as stored.
    """

    item_id: str
    modality: Modality
    text: str | None = None
    image: bytes | None = field(default=None, repr=False)

    def key(
        self,
        plan: Plan,
        prompts_hash: str,
        backend: str,
        model: str | None,
        parameters: Mapping[str, Any],
    ) -> str:
        """Return the SHA-256 of everything that decides which questions are asked about it."""
        return _digest(
            [
                [self.item_id, self.modality, self.text, _sha256(self.image)],
                [plan, prompts_hash],
                [backend, model, dict(parameters)],
            ]
        )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sha256(image: bytes | None) -> str | None:
    return None if image is None else hashlib.sha256(image).hexdigest()


@dataclass(frozen=True)
class Usage:
    """Tokens a call was billed for."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Return the sum of both."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True)
class Completion:
    """The raw text of an answer and what it took.

    Attributes:
        text: as the backend gave it.
        usage: tokens that were billed.
        cost: price in US dollars, failed tries before it included; None where no price is known.
    """

    text: str
    usage: Usage = Usage()
    cost: float | None = None
