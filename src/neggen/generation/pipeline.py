"""Item in, record out: the two plans, over any ``ask``.

Nothing here knows about networks, journals or files, so every later runner (in-process, batch
files, a cluster) shares these functions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol, TypeVar

from pydantic import BaseModel

from neggen.errors import NegGenError
from neggen.generation.parsing import (
    clean_description,
    parse_json,
    record_from_answer,
    split_marked,
)
from neggen.generation.prompts import Prompts
from neggen.generation.records import Answer, InvalidAnswer, Modality, Record, fill
from neggen.generation.requests import Plan, Request, Step

Ask = Callable[[Request], Awaitable[str]]
"""Answers a request with raw text; may raise ``RequestFailed`` or ``NegGenError``."""

Parsed = TypeVar("Parsed")


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


class _Described(BaseModel):
    description: str


class _Marked(BaseModel):
    marked: str


class _Completed(BaseModel):
    replacements: tuple[str, ...]


class MakeRecord(Protocol):
    """A plan: makes a record of an item by asking, and asking again after an invalid answer."""

    async def __call__(
        self, item: ItemInput, prompts: Prompts, ask: Ask, *, attempts: int
    ) -> Record:
        """Raise ``InvalidAnswer`` when the last of ``attempts`` answers is invalid too."""
        ...


async def fused(item: ItemInput, prompts: Prompts, ask: Ask, *, attempts: int = 3) -> Record:
    """Describe, mask and complete in one call.

    Raises:
        InvalidAnswer: When the last of ``attempts`` answers is invalid too.
    """

    def parse(text: str) -> Record:
        return record_from_answer(item.item_id, item.modality, parse_json(text, Answer))

    question = prompts.render(f"fused.{item.modality}", text=item.text or "")
    return await _ask_until_valid(
        item, "fused", question, Answer, parse, prompts, ask, attempts, image=item.image
    )


async def staged(item: ItemInput, prompts: Prompts, ask: Ask, *, attempts: int = 3) -> Record:
    """Describe, mask and complete in three calls, as in the paper.

    Raises:
        InvalidAnswer: When the last of ``attempts`` answers to a step is invalid too.
    """

    def parse_description(text: str) -> str:
        description = clean_description(parse_json(text, _Described).description)
        if "[" in description or "]" in description:
            raise InvalidAnswer(
                "nested or unbalanced brackets",
                "The description holds square brackets; write round ones.",
            )
        return description

    question = prompts.render(f"describe.{item.modality}", text=item.text or "")
    description = await _ask_until_valid(
        item, "describe", question, _Described, parse_description, prompts, ask, attempts,
        image=item.image,
    )  # fmt: skip

    def parse_marked(text: str) -> str:
        marked = parse_json(text, _Marked).marked
        template, values = split_marked(marked)
        if fill(template, values) != description:
            raise InvalidAnswer(
                "changed description",
                "Without its brackets the marked text is not the description word for word.",
            )
        return marked

    question = prompts.render("mask.user", text=description)
    marked = await _ask_until_valid(
        item, "mask", question, _Marked, parse_marked, prompts, ask, attempts
    )

    def parse_completion(text: str) -> Record:
        answer = Answer(marked=marked, replacements=parse_json(text, _Completed).replacements)
        return record_from_answer(item.item_id, item.modality, answer)

    question = prompts.render("complete.user", text=marked)
    return await _ask_until_valid(
        item, "complete", question, _Completed, parse_completion, prompts, ask, attempts
    )


PLANS: dict[Plan, MakeRecord] = {"fused": fused, "staged": staged}


def plan_for(plan: Plan, *, finished_only: bool, backend_name: str) -> MakeRecord:
    """Return the function of a plan.

    Raises:
        NegGenError: If there is no such plan, or a backend of finished answers cannot serve it.
    """
    if plan not in PLANS:
        raise NegGenError(f"There is no plan '{plan}'; choose one of {', '.join(PLANS)}.")
    if finished_only and plan != "fused":
        raise NegGenError(
            f"The backend '{backend_name}' only knows finished answers, so it cannot serve the "
            f"plan '{plan}'; use the plan 'fused'."
        )
    return PLANS[plan]


async def _ask_until_valid(
    item: ItemInput,
    step: Step,
    question: str,
    shape: type[BaseModel],
    parse: Callable[[str], Parsed],
    prompts: Prompts,
    ask: Ask,
    attempts: int,
    image: bytes | None = None,
) -> Parsed:
    system = prompts.render(f"{step}.system")
    user = question
    for attempt in range(1, attempts + 1):
        text = await ask(
            Request(
                item_id=item.item_id,
                modality=item.modality,
                step=step,
                attempt=attempt,
                system=system,
                user=user,
                schema=answer_schema(shape),
                image=image,
            )
        )
        try:
            return parse(text)
        except InvalidAnswer as error:
            if attempt == attempts:
                raise
            user = prompts.retry(question, text, error.reason)
    raise NegGenError(f"attempts must be at least 1, but is {attempts}.")


@cache
def answer_schema(shape: type[BaseModel]) -> dict[str, object]:
    """Return a JSON schema in the strict subset that OpenAI-compatible servers enforce."""
    fields = shape.model_json_schema()["properties"]
    return {
        "type": "object",
        "properties": {
            name: {key: value for key, value in schema.items() if key != "title"}
            for name, schema in fields.items()
        },
        "required": list(fields),
        "additionalProperties": False,
    }
