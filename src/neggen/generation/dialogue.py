"""A question about an item, asked until the answer is valid or has been asked for often enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeVar

from pydantic import BaseModel

from neggen.generation.prompts import Prompts
from neggen.generation.records import InvalidAnswer, Record
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


@dataclass(frozen=True)
class Dialogue:
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
        """Return what ``parse`` makes of the first valid answer.

        Args:
            step: which call this is.
            question: the rendered user prompt.
            shape: fields of the answer.
            parse: raises ``InvalidAnswer`` for an answer that is not one.
            completion: which completion of the template it serves.
            image: the picture to look at.
            screen: judges what was parsed, in a thread.

        Raises:
            InvalidAnswer: If no answer was valid and no more are to be asked for.
            RequestFailed: If a request gets no answer.
        """
        prompts = self.rules.prompts
        user = question
        problem: InvalidAnswer | None = None
        attempt = 0
        while True:
            attempt += 1
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
