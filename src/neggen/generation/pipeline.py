"""Item in, records out: the two plans, over anybody who answers.

Nothing here knows about networks, journals or files, so every runner (in-process, batch files, a
cluster) shares these functions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from pydantic import BaseModel

from neggen.errors import NegGenError
from neggen.generation.backends.base import Backend
from neggen.generation.dialogue import Dialogue, Respondent, Rules
from neggen.generation.parsing import (
    clean_description,
    parse_json,
    record_from_answer,
    split_marked,
)
from neggen.generation.records import Answer, InvalidAnswer, Record, fill
from neggen.generation.requests import ItemInput, Plan


class _Described(BaseModel):
    description: str


class _Marked(BaseModel):
    marked: str


class _Completed(BaseModel):
    replacements: tuple[str, ...]


async def fused(item: ItemInput, rules: Rules, who: Respondent) -> AsyncIterator[Record]:
    """Describe, mask and complete in one call; further completions take one call each."""
    dialogue = Dialogue(item, rules, who)
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

        return await dialogue.ask(
            "fused", question, Answer, parse,
            completion=completion, image=item.image, screen=rules.screen,
        )  # fmt: skip

    records = [await whole_answer(0, [])]
    yield records[0]
    for completion in range(1, rules.completions):
        if rules.finished:
            records.append(await whole_answer(completion, records))
        else:
            records.append(await _complete(dialogue, _marked(records[0]), records))
        yield records[-1]


async def staged(item: ItemInput, rules: Rules, who: Respondent) -> AsyncIterator[Record]:
    """Describe, mask and complete in three calls, as in the paper."""
    dialogue = Dialogue(item, rules, who)

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
        records.append(await _complete(dialogue, marked, records))
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


async def _complete(dialogue: Dialogue, marked: str, before: list[Record]) -> Record:
    """Fill the template of a marked description unlike the records ``before``."""
    completion = len(before)

    def parse(text: str) -> Record:
        answer = Answer(marked=marked, replacements=parse_json(text, _Completed).replacements)
        record = record_from_answer(
            dialogue.item.item_id, dialogue.item.modality, answer, completion
        )
        return _unlike(record, before)

    if before:
        told = "\n".join("; ".join(record.replacements) for record in before)
        question = dialogue.rules.prompts.render("further.user", text=marked, before=told)
    else:
        question = dialogue.rules.prompts.render("complete.user", text=marked)
    return await dialogue.ask(
        "complete", question, _Completed, parse,
        completion=completion, screen=dialogue.rules.screen,
    )  # fmt: skip


def _marked(record: Record) -> str:
    return fill(record.template, tuple(f"[{value}]" for value in record.values))


def _unlike(record: Record, before: list[Record]) -> Record:
    if any(record.negative.casefold() == other.negative.casefold() for other in before):
        raise InvalidAnswer(
            "repeated completion", "These replacements were given before; give others."
        )
    return record
