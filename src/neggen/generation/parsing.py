"""From the raw text of an answer to a record, or to an ``InvalidAnswer`` that says what to mend.

Answers are untrusted: whatever the text is, parsing either succeeds or raises ``InvalidAnswer``.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from neggen.generation.records import MASK, Answer, InvalidAnswer, Modality, Record, fill

LONGEST_DESCRIPTION = 1500
"""Characters; the prompts ask for a fifth of it."""
LONGEST_VALUE = 200
"""Characters of one attribute or replacement."""
MOST_SLOTS = 12

_SLOT = re.compile(r"\[([^\[\]]*)\]")
_THINKING = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
# Strict about the verb: "Sorry, Wrong Number" and "I Can't Sleep" are films.
_REFUSAL = re.compile(
    r"\s*(?:(?:i['’]?m |i am )?(?:very |so )?sorry,? (?:but )?)?(?:unfortunately,? )?(?:as an ai\b"
    r"|i(?: can['’]?t| cannot| won['’]?t| am unable to| am not able to|['’]m unable to)"
    r" (?:help|assist|provide|describe|comply|fulfill|identify|see|view|process|do|answer)\b)",
    re.IGNORECASE,
)
# Chat-template tokens such as <|im_end|>, invisible direction changes, and lone surrogates would
# travel on into prompts, pages and files.
CONTROL = re.compile(
    r"<\||\|>|[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udfff]"
)

Shape = TypeVar("Shape", bound=BaseModel)


def parse_json(text: str, shape: type[Shape]) -> Shape:
    """Read the first JSON object in ``text`` as ``shape``.

    Servers that ignore the schema wrap it in prose, code fences or thinking; those are skipped.

    Raises:
        InvalidAnswer: If there is no such object or it lacks a field.
    """
    text = _THINKING.sub("", text)
    start = text.find("{")
    if start < 0 and _REFUSAL.match(text):
        raise InvalidAnswer("refusal", f"The answer is a refusal: {_short(text)!r}.")
    try:
        value, _ = json.JSONDecoder().raw_decode(text, max(start, 0))
        return shape.model_validate(value)
    except (ValueError, RecursionError) as error:
        fields = ", ".join(shape.model_fields)
        detail = ""
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            detail = f" ({'.'.join(str(part) for part in first['loc'])}: {first['msg']})"
        raise InvalidAnswer(
            "not the JSON asked for",
            f"The answer is not one JSON object with the fields {fields}{detail}.",
        ) from None


def record_from_answer(
    item_id: str, modality: Modality, answer: Answer, completion: int = 0
) -> Record:
    """Turn a finished answer into a record.

    Raises:
        InvalidAnswer: If it has no slots, nested or unbalanced brackets, a wrong number of
            replacements, an empty or unchanged one, control characters, too long a text, or is a
            refusal.
    """
    template, values = split_marked(answer.marked)
    replacements = check_replacements(values, answer.replacements)
    return Record(
        item_id=item_id,
        modality=modality,
        description=fill(template, values),
        template=template,
        values=values,
        replacements=replacements,
        negative=fill(template, replacements),
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
    moved = re.sub(r"\s+\]", "] ", re.sub(r"\[\s+", " [", marked))
    marked = clean_description(moved)
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
        if not value:
            raise InvalidAnswer("empty slot", "A pair of square brackets is empty.")
        if value == "MASK":
            raise InvalidAnswer("empty slot", "A slot reads MASK; write the attribute's own value.")
        if len(value) > LONGEST_VALUE:
            raise InvalidAnswer(
                "too long",
                f"An attribute is longer than {LONGEST_VALUE} characters: {_short(value)!r}.",
            )
    if not any(character.isalnum() for character in context):
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
    cleaned = tuple(_clean(replacement) for replacement in replacements)
    for value, replacement in zip(values, cleaned, strict=True):
        if not replacement:
            raise InvalidAnswer("empty replacement", f"The replacement of {value!r} is empty.")
        if replacement.casefold() == value.casefold():
            raise InvalidAnswer(
                "unchanged replacement", f"The replacement of {value!r} is the same value."
            )
        if "[" in replacement or "]" in replacement:
            raise InvalidAnswer(
                "nested or unbalanced brackets",
                f"The replacement {_short(replacement)!r} holds square brackets; leave them out.",
            )
        if len(replacement) > LONGEST_VALUE:
            raise InvalidAnswer(
                "too long",
                f"A replacement has over {LONGEST_VALUE} characters: {_short(replacement)!r}.",
            )
    return cleaned


def clean_description(text: str) -> str:
    """Return ``text`` on one line, in NFC.

    Raises:
        InvalidAnswer: If it is empty, over-long, a refusal, or holds control characters.
    """
    text = _clean(text)
    if not text:
        raise InvalidAnswer("empty description", "The description is empty.")
    if len(text) > LONGEST_DESCRIPTION:
        raise InvalidAnswer(
            "too long",
            f"The description has {len(text)} characters; stay under {LONGEST_DESCRIPTION}.",
        )
    if _REFUSAL.match(text):
        raise InvalidAnswer("refusal", f"The description is a refusal: {_short(text)!r}.")
    return text


def _clean(text: str) -> str:
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if CONTROL.search(text):
        raise InvalidAnswer(
            "control characters",
            "The answer holds control characters or chat tokens; leave them out.",
        )
    return text


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
