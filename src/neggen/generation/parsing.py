"""From the raw text of an answer to a record, or to an ``InvalidAnswer`` that says what to mend.

Answers are untrusted: whatever the text is, parsing either succeeds or raises ``InvalidAnswer``.
This file is about form; what the texts mean is checked in ``screening``.
"""

from __future__ import annotations

import re
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from neggen.generation.characters import CONTROL, clean, says_something, short
from neggen.generation.json_objects import objects_in
from neggen.generation.records import MASK, Answer, InvalidAnswer, Modality, Record, fill
from neggen.generation.refusals import is_refusal
from neggen.generation.screening import (
    screen_copied,
    screen_prose,
    screen_replacement,
    screen_together,
)

__all__ = [
    "CONTROL",
    "check_replacements",
    "clean_description",
    "parse_json",
    "record_from_answer",
    "split_marked",
]

LONGEST_DESCRIPTION = 1500
"""Characters; the prompts ask for a fifth of it."""
LONGEST_VALUE = 200
"""Characters of one attribute or replacement."""
MOST_SLOTS = 12

_SLOT = re.compile(r"\[([^\[\]]*)\]")

Shape = TypeVar("Shape", bound=BaseModel)


def parse_json(text: str, shape: type[Shape]) -> Shape:
    """Read the last JSON object in ``text`` that has the fields of ``shape``.

    Servers that ignore the schema wrap it in prose, code fences or thinking, and models repeat the
    schema or an example before they answer; those are skipped.

    Raises:
        InvalidAnswer: If there is no such object, or the thinking never ended.
    """
    text = text.rpartition("</think>")[2]
    if re.match(r"\s*<think>", text):
        raise InvalidAnswer(
            "unfinished thinking",
            "The answer ends in the middle of its thinking; think less and answer.",
        )
    objects, detail = objects_in(text)
    answer: Shape | None = None
    for value in objects:
        try:
            answer = shape.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            detail = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if answer is not None:
        return answer
    if is_refusal(text[:LONGEST_DESCRIPTION].replace("’", "'").lstrip()):
        raise InvalidAnswer("refusal", f"The answer is a refusal: {short(text.strip())!r}.")
    fields = ", ".join(shape.model_fields)
    raise InvalidAnswer(
        "not the JSON asked for",
        f"The answer is not one JSON object with the fields {fields}{detail and f' ({detail})'}.",
    )


def record_from_answer(
    item_id: str, modality: Modality, answer: Answer, completion: int = 0
) -> Record:
    """Turn a finished answer into a record.

    Raises:
        InvalidAnswer: If it has no slots, nested or unbalanced brackets, a wrong number of
            replacements, too long a text, control characters, or a text or replacement that
            means nothing (see ``screening``).
    """
    template, values = split_marked(answer.marked)
    replacements = check_replacements(values, answer.replacements)
    description = fill(template, values)
    negative = fill(template, replacements)
    screen_copied(description, replacements)
    for text in (description, negative):
        if clean(text, LONGEST_DESCRIPTION) != text:
            raise InvalidAnswer(
                "control characters",
                "An attribute or replacement begins with an accent; write it with its letter.",
            )
    screen_prose(negative, "The sentence with the replacements")
    return Record(
        item_id=item_id,
        modality=modality,
        description=description,
        template=template,
        values=values,
        replacements=replacements,
        negative=negative,
        completion=completion,
    )


def split_marked(marked: str) -> tuple[str, tuple[str, ...]]:
    """Split a marked description into its template and the bracketed values.

    >>> split_marked("A [slim calculator] with [RPN].")
    ('A [MASK] with [MASK].', ('slim calculator', 'RPN'))

    Raises:
        InvalidAnswer: See :func:`record_from_answer`.
    """
    # White space just inside a bracket belongs outside, or dropping the slot would join words.
    marked = clean(marked, LONGEST_DESCRIPTION).replace("[ ", " [").replace(" ]", "] ")
    marked = clean_description(marked)
    context = _SLOT.sub("", marked)
    if "[" in context or "]" in context:
        raise InvalidAnswer(
            "nested or unbalanced brackets",
            "Square brackets are nested or unbalanced; each key attribute has one [ and one ], and "
            "brackets of the item's own text are written as round ones.",
        )
    values = tuple(match.group(1) for match in _SLOT.finditer(marked))
    if not values:
        raise InvalidAnswer("no slots", "No key attribute is marked with square brackets.")
    if len(values) > MOST_SLOTS:
        raise InvalidAnswer("too many slots", f"{len(values)} slots; mark at most {MOST_SLOTS}.")
    for value in values:
        if not says_something(value):
            raise InvalidAnswer("empty slot", "A pair of square brackets is empty.")
        if value == "MASK":
            raise InvalidAnswer("empty slot", "A slot reads MASK; write the attribute's own value.")
        if len(value) > LONGEST_VALUE:
            raise InvalidAnswer(
                "too long",
                f"An attribute is longer than {LONGEST_VALUE} characters: {short(value)!r}.",
            )
        screen_prose(value, "An attribute")
    if not says_something(context):
        raise InvalidAnswer("no context", "Nothing is left outside the brackets; mark less.")
    return _SLOT.sub(MASK, marked), values


def check_replacements(values: tuple[str, ...], replacements: tuple[str, ...]) -> tuple[str, ...]:
    """Return the cleaned replacements of ``values``.

    Raises:
        InvalidAnswer: See :func:`record_from_answer`.
    """
    if len(replacements) != len(values):
        raise InvalidAnswer(
            "wrong replacement count",
            f"{len(values)} attributes are marked, but there are {len(replacements)} replacements; "
            "give exactly one for each, in the same order.",
        )
    cleaned = tuple(clean(replacement, LONGEST_VALUE) for replacement in replacements)
    for value, replacement in zip(values, cleaned, strict=True):
        if "[" in replacement or "]" in replacement:
            raise InvalidAnswer(
                "nested or unbalanced brackets",
                f"The replacement {short(replacement)!r} holds square brackets; leave them out.",
            )
        if len(replacement) > LONGEST_VALUE:
            raise InvalidAnswer(
                "too long",
                f"A replacement has over {LONGEST_VALUE} characters: {short(replacement)!r}.",
            )
        screen_prose(replacement, "A replacement")
        screen_replacement(value, replacement)
    screen_together(values, cleaned)
    return cleaned


def clean_description(text: str) -> str:
    """Return ``text`` on one line, in NFC.

    Raises:
        InvalidAnswer: If it is empty, over-long, no natural description, or holds control
            characters.
    """
    text = clean(text, LONGEST_DESCRIPTION)
    if not says_something(text):
        raise InvalidAnswer("empty description", "The description is empty.")
    if len(text) > LONGEST_DESCRIPTION:
        raise InvalidAnswer(
            "too long",
            f"The description has {len(text)} characters; stay under {LONGEST_DESCRIPTION}.",
        )
    screen_prose(_without_brackets(text), "The description")
    return text


def _without_brackets(text: str) -> str:
    return _SLOT.sub(r"\1", text)
