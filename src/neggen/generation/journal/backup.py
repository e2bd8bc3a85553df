"""A journal as JSON lines that need no neggen to be read, and back again.

A line is an answer, a unit that failed or cost something beside its answers, or a decision of a
person; the rest of a journal follows from these, but for batches that are under way. Lines may come
from anywhere: each is checked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from neggen.errors import NegGenError
from neggen.generation.journal.file import JournalFile
from neggen.generation.journal.lines import (
    AnswerLine,
    Completion,
    Count,
    Line,
    Time,
    UnitLine,
    check,
    problem,
)
from neggen.generation.journal.reading import ANSWER_COLUMNS, JournalReader, Row
from neggen.generation.journal.reviews import REVIEWS_TABLE, Action, Verdict
from neggen.generation.records import SCHEMA, Modality, Record

LONGEST_LINE = 64 * 2**20
"""Bytes; answers have some thousand."""

_UNIT_COLUMNS = """
key AS unit, item_id, modality, generator,
iif(kind IS NOT NULL, 'dead', iif(state = 'valid', state, 'open')) AS state,
kind, reason, attempts, cost, at
"""
_REVIEW_COLUMNS = """
number AS review, item_id, modality, completion, action, reviewer, describes, before, after,
undoes, at
"""
_ADD_UNIT = """
INSERT OR IGNORE INTO units (key, item_id, modality, generator, state, kind, reason, attempts,
cost, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_ANSWER = f"""
INSERT OR IGNORE INTO answers ({ANSWER_COLUMNS})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_REVIEW = """
INSERT OR IGNORE INTO reviews (number, item_id, modality, completion, action, reviewer, describes,
before, after, undoes, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_NUMBERED = """
INSERT INTO sqlite_sequence (name, seq)
SELECT 'reviews', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'reviews')
"""


class _Record(Record):
    model_config = ConfigDict(strict=True, extra="forbid")

    generator: str


class _State(Line):
    verdict: Verdict | None
    record: _Record | None


class ReviewLine(Line):
    """A decision of a person."""

    review: Annotated[Count, Field(ge=1)]
    item_id: str
    modality: Modality
    completion: Completion
    action: Action
    reviewer: str
    describes: str
    before: _State
    after: _State
    undoes: Annotated[Count, Field(ge=1)] | None
    at: Time

    @model_validator(mode="after")
    def _records_are_what_it_is_about(self) -> Self:
        about = (self.item_id, self.modality, self.completion)
        for record in (self.before.record, self.after.record):
            if record and (record.item_id, record.modality, record.completion) != about:
                raise ValueError("a record is of another item than the decision")
        return self


def _sort(line: Any) -> str:
    names = line if isinstance(line, dict) else ()
    return next((name for name in ("answer", "review") if name in names), "unit")


LINES: TypeAdapter[AnswerLine | UnitLine | ReviewLine] = TypeAdapter(
    Annotated[
        Annotated[AnswerLine, Tag("answer")]
        | Annotated[UnitLine, Tag("unit")]
        | Annotated[ReviewLine, Tag("review")],
        Discriminator(_sort),
    ]
)


def saved(reader: JournalReader) -> Iterator[tuple[str, Row]]:
    """Yield the lines of a journal, each after its sort; of a damaged one all that can be read.

    The sorts are ``answers``, ``failures`` and ``reviews``.
    """
    needed = "kind IS NOT NULL OR cost IS NOT NULL"
    found: dict[str, Iterator[Row]] = {
        "answers": reader.answers(),
        "failures": reader.readable("units", _UNIT_COLUMNS, _as_unit, needed),
        "reviews": reader.readable("reviews", _REVIEW_COLUMNS, _as_review),
    }
    for sort, rows in found.items():
        for row in rows:
            yield sort, row


def _as_unit(row: Row) -> Row:
    check(row, UnitLine)
    return row


def _as_review(row: Row) -> Row:
    parsed = {**row, "before": json.loads(row["before"]), "after": json.loads(row["after"])}
    check(parsed, ReviewLine)
    return parsed


def is_saved(path: Path) -> bool:
    """Return whether a file is empty or begins as a saved journal does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline(LONGEST_LINE)
    try:
        return not first or bool(LINES.validate_json(first))
    except ValidationError:
        return False


def restore(path: Path, source: Path, known: int = 0) -> Counter[str]:
    """Put the lines of a file into the journal at ``path``, all or none.

    What the journal has already stays as it is.

    Args:
        path: the journal.
        source: what was saved.
        known: the last review that the records are changed by; those to come have later numbers.

    Returns:
        How many lines of each sort were missing; see :func:`saved`.

    Raises:
        NegGenError: If the file cannot be read, at the first line that is none, for a review that
            the journal has another one instead of, or if the journal cannot be written.
    """
    for _ in _read(source):
        pass  # a bad line should not even begin a journal
    missing: Counter[str] = Counter({"answers": 0, "failures": 0, "reviews": 0})
    with closing(JournalFile(path)) as file, file.transaction() as execute:
        execute(REVIEWS_TABLE)
        for where, line in _read(source):
            if isinstance(line, AnswerLine):
                missing["answers"] += execute(_ADD_ANSWER, _values(line)).rowcount
            elif isinstance(line, UnitLine):
                missing["failures"] += execute(_ADD_UNIT, _values(line)).rowcount
            else:
                missing["reviews"] += _add_review(execute, line, where, path)
        execute(_NUMBERED)
        execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'reviews'", (known,))
    return missing


def _add_review(execute: Callable[..., Any], line: ReviewLine, where: str, path: Path) -> bool:
    row = _values(line)
    if execute(_ADD_REVIEW, row).rowcount:
        return True
    query = f"SELECT {_REVIEW_COLUMNS} FROM reviews WHERE number = ?"
    if _decision(execute(query, (line.review,)).fetchone()) != _decision(row):
        raise NegGenError(
            f"{where} is decision {line.review}, but {path} holds another decision of that number; "
            "move the journal away and restore into a new one."
        )
    return False


def _decision(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the columns of a review so that they can be compared."""
    *about, before, after, undoes, at = row
    return (*about, json.loads(before), json.loads(after), undoes, at)


def _values(line: Line) -> tuple[object, ...]:
    return tuple(
        json.dumps(_state(value)) if isinstance(value, _State) else value
        for value in (getattr(line, name) for name in type(line).model_fields)
    )


def _state(state: _State) -> dict[str, Any]:
    """Return a state as the journal keeps it."""
    record = None if state.record is None else state.record.model_dump(mode="json")
    return {
        "verdict": state.verdict,
        "record": record and {name: record[name] for name in SCHEMA},
    }


def _read(source: Path) -> Iterator[tuple[str, AnswerLine | UnitLine | ReviewLine]]:
    try:
        with source.open("rb") as file:
            number = 0
            while text := file.readline(LONGEST_LINE):
                number += 1
                if not text.isspace():
                    where = f"{source}, line {number}"
                    yield where, _parsed(text, where)
    except OSError as error:
        raise NegGenError(
            f"{source} cannot be read ({error.strerror}); give the file that --export wrote."
        ) from None


def _parsed(text: bytes, where: str) -> AnswerLine | UnitLine | ReviewLine:
    try:
        return LINES.validate_json(text)
    except ValidationError as error:
        raise NegGenError(
            f"{where} is no line of a saved journal ({problem(error)}), so nothing was restored; "
            "mend the line or take it out."
        ) from None
