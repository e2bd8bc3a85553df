"""Item in, records out: the two plans, over anybody who answers.

Nothing here knows about networks, journals or files, so every runner (in-process, batch files, a
cluster) shares these functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Protocol, TypeVar

from pydantic import BaseModel

from neggen.errors import NegGenError
from neggen.generation.backends.base import Backend
from neggen.generation.parsing import (
    clean_description,
    parse_json,
    record_from_answer,
    split_marked,
)
from neggen.generation.prompts import Prompts
from neggen.generation.records import Answer, InvalidAnswer, Record, fill
from neggen.generation.requests import ItemInput, Plan, Request, Step

Screen = Callable[[Record], None]
"""Raises ``InvalidAnswer`` for a record that is well-formed but no good, such as synonyms."""

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Reply:
    """An answer and, if it was found invalid in an earlier run, what was wrong with it."""

    key: str
    text: str
    rejected: InvalidAnswer | None = None


class Respondent(Protocol):
    """Who answers the requests of one item."""

    async def ask(self, request: Request) -> Reply | None:
        """Return the answer, or None if an invalid one is not to be asked for again.

        Raises:
            RequestFailed: If there is none.
        """
        ...

    async def reject(self, reply: Reply, problem: InvalidAnswer) -> None:
        """Take note that an answer is invalid, so that it stays so whatever changes."""
        ...


@dataclass(frozen=True)
class Rules:
    """How items are asked about.

    Attributes:
        plan: ``fused`` (one call an item) or ``staged`` (three).
        prompts: the templates.
        completions: negatives per template.
        screen: judges records beyond their form, in a thread.
        finished: whether the backend only has whole answers, so that every completion is one.
    """

    plan: Plan
    prompts: Prompts
    completions: int = 1
    screen: Screen | None = None
    finished: bool = False


class _Described(BaseModel):
    description: str


class _Marked(BaseModel):
    marked: str


class _Completed(BaseModel):
    replacements: tuple[str, ...]


async def fused(item: ItemInput, rules: Rules, who: Respondent) -> AsyncIterator[Record]:
    """Describe, mask and complete in one call; further completions take one call each."""
    dialogue = _Dialogue(item, rules, who)
    question = rules.prompts.render(f"fused.{item.modality}", text=item.text or "")

    async def whole_answer(completion: int, before: list[Record]) -> Record:
        def parse(text: str) -> Record:
            answer = parse_json(text, Answer)
            record = record_from_answer(item.item_id, item.modality, answer, completion)
            if before and record.template != before[0].template:
                raise InvalidAnswer(
                    "another template", "It marks another description than the first answer did."
                )
            return _unlike(record, before)

        return await dialogue.record("fused", question, Answer, parse, completion)

    records = [await whole_answer(0, [])]
    yield records[0]
    for completion in range(1, rules.completions):
        if rules.finished:
            records.append(await whole_answer(completion, records))
        else:
            records.append(await dialogue.complete(_marked(records[0]), records))
        yield records[-1]


async def staged(item: ItemInput, rules: Rules, who: Respondent) -> AsyncIterator[Record]:
    """Describe, mask and complete in three calls, as in the paper."""
    dialogue = _Dialogue(item, rules, who)

    def parse_description(text: str) -> str:
        description = clean_description(parse_json(text, _Described).description)
        if "[" in description or "]" in description:
            raise InvalidAnswer(
                "nested or unbalanced brackets",
                "The description holds square brackets; write round ones.",
            )
        return description

    question = rules.prompts.render(f"describe.{item.modality}", text=item.text or "")
    description = await dialogue.ask(
        "describe", question, _Described, parse_description, image=item.image
    )

    def parse_marked(text: str) -> str:
        marked = parse_json(text, _Marked).marked
        template, values = split_marked(marked)
        if fill(template, values) != description:
            raise InvalidAnswer(
                "changed description",
                "Without its brackets the marked text is not the description word for word.",
            )
        return marked

    question = rules.prompts.render("mask.user", text=description)
    marked = await dialogue.ask("mask", question, _Marked, parse_marked)

    records: list[Record] = []
    for _ in range(rules.completions):
        records.append(await dialogue.complete(marked, records))
        yield records[-1]


PLANS: dict[Plan, Callable[[ItemInput, Rules, Respondent], AsyncIterator[Record]]] = {
    "fused": fused,
    "staged": staged,
}


def make_records(item: ItemInput, rules: Rules, who: Respondent) -> AsyncIterator[Record]:
    """Yield the records of an item, one a completion, asking again where an answer is invalid.

    Raises:
        InvalidAnswer: When it is not asked again; what was yielded before stays.
        RequestFailed: When a request gets no answer.
    """
    return PLANS[rules.plan](item, rules, who)


def check_plan(plan: str, backend: Backend) -> None:
    """Check that a backend can serve a plan.

    Raises:
        NegGenError: If there is no such plan, or a backend of finished answers cannot serve it.
    """
    if plan not in PLANS:
        raise NegGenError(f"There is no plan '{plan}'; choose one of {', '.join(PLANS)}.")
    if backend.finished and plan != "fused":
        raise NegGenError(
            f"The backend '{backend.name}' only knows finished answers, so it cannot serve the "
            f"plan '{plan}'; use the plan 'fused'."
        )


@dataclass(frozen=True)
class _Dialogue:
    """The questions about one side of one item, each asked until its answer is valid."""

    item: ItemInput
    rules: Rules
    who: Respondent

    async def ask(
        self,
        step: Step,
        question: str,
        shape: type[BaseModel],
        parse: Callable[[str], Parsed],
        *,
        completion: int = 0,
        image: bytes | None = None,
        screen: Callable[[Parsed], None] | None = None,
    ) -> Parsed:
        prompts = self.rules.prompts
        user = question
        problem: InvalidAnswer | None = None
        for attempt in count(1):
            request = Request(
                item_id=self.item.item_id,
                modality=self.item.modality,
                step=step,
                attempt=attempt,
                system=prompts.system(step),
                user=user,
                schema=answer_schema(shape),
                image=image,
                completion=completion,
            )
            reply = await self.who.ask(request)
            if reply is None:
                raise problem or AssertionError("the first attempt is always asked for")
            problem = reply.rejected
            if problem is None:
                try:
                    parsed = parse(reply.text)
                    if screen is not None:
                        await asyncio.to_thread(screen, parsed)
                    return parsed
                except InvalidAnswer as error:
                    problem = error
                    await self.who.reject(reply, problem)
            user = prompts.retry(question, reply.text, problem.reason)
        raise AssertionError("count() has no end")

    async def record(
        self,
        step: Step,
        question: str,
        shape: type[BaseModel],
        parse: Callable[[str], Record],
        completion: int,
    ) -> Record:
        image = self.item.image if step == "fused" else None
        return await self.ask(
            step, question, shape, parse, completion=completion, image=image,
            screen=self.rules.screen,
        )  # fmt: skip

    async def complete(self, marked: str, before: list[Record]) -> Record:
        """Fill the template of a marked description unlike the records ``before``."""
        completion = len(before)

        def parse(text: str) -> Record:
            answer = Answer(marked=marked, replacements=parse_json(text, _Completed).replacements)
            record = record_from_answer(self.item.item_id, self.item.modality, answer, completion)
            return _unlike(record, before)

        if before:
            told = "\n".join("; ".join(record.replacements) for record in before)
            question = self.rules.prompts.render("further.user", text=marked, before=told)
        else:
            question = self.rules.prompts.render("complete.user", text=marked)
        return await self.record("complete", question, _Completed, parse, completion)


def _marked(record: Record) -> str:
    return fill(record.template, tuple(f"[{value}]" for value in record.values))


def _unlike(record: Record, before: list[Record]) -> Record:
    if any(record.negative.casefold() == other.negative.casefold() for other in before):
        raise InvalidAnswer(
            "repeated completion", "These replacements were given before; give others."
        )
    return record


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
