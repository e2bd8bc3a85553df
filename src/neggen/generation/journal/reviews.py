"""What people decided about records: kept in the journal for good, in the order it happened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from neggen.generation.journal.file import JournalFile
from neggen.generation.journal.reading import JournalReader, Row

Action = Literal["approve", "edit", "reject", "regenerate", "undo"]
Verdict = Literal["approved", "edited", "rejected", "regenerated"]
Key = tuple[str, str, int]
"""Item, modality and completion."""

REVIEWS_TABLE = """
CREATE TABLE IF NOT EXISTS reviews (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id TEXT NOT NULL, modality TEXT NOT NULL, completion INTEGER NOT NULL,
    action TEXT NOT NULL, reviewer TEXT NOT NULL, describes TEXT NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL, undoes INTEGER,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
)
"""
# Of two reviewers who saw the same state, only the first changes it: for the second, the latest
# number of the record is no longer the one that was seen, and nothing is inserted.
_ADD = """
INSERT INTO reviews
(item_id, modality, completion, action, reviewer, describes, before, after, undoes)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE ?10 = (
    SELECT coalesce(max(number), 0) FROM reviews
    WHERE item_id = ?1 AND modality = ?2 AND completion = ?3
)
"""
_FIRST_SINCE = """
SELECT action, reviewer, after FROM reviews
WHERE item_id = ? AND modality = ? AND completion = ? AND number > ? ORDER BY number LIMIT 1
"""
_ALL = "SELECT * FROM reviews ORDER BY number"


@dataclass(frozen=True)
class State:
    """How a record stands.

    Attributes:
        verdict: what was decided, or None if nothing was.
        record: the columns of ``neggen.generation.records.SCHEMA``; None if there is no record.
            That of a rejected one is kept here, but is not used.
    """

    verdict: Verdict | None
    record: Mapping[str, Any] | None

    @property
    def used(self) -> Mapping[str, Any] | None:
        """The record, unless it was rejected."""
        return None if self.verdict == "rejected" else self.record


@dataclass(frozen=True)
class Review:
    """One decision.

    Attributes:
        key: what it is about.
        action: what was done.
        reviewer: who did it.
        describes: a SHA-256 of the side of the item that the record describes.
        before: how the record stood.
        after: how it stands since.
        undoes: the number of the review that this one takes back.
        number: counts all reviews of a journal from 1; 0 before it is kept.
        at: when it was kept, UTC, ISO 8601.
    """

    key: Key
    action: Action
    reviewer: str
    describes: str
    before: State
    after: State
    undoes: int | None = None
    number: int = 0
    at: str = ""


def add_review(path: Path, review: Review, seen: int) -> bool:
    """Keep a review in the journal at ``path``, and return once it is on disk.

    Args:
        path: the journal, made if there is none.
        review: what was decided.
        seen: the number of the record's latest review that the reviewer knew of, 0 for none.

    Returns:
        False if there is a later one, so that nothing was kept.

    Raises:
        NegGenError: If the journal cannot be written.
    """
    before, after = (json.dumps(asdict(state)) for state in (review.before, review.after))
    about = (*review.key, review.action, review.reviewer, review.describes)
    with closing(JournalFile(path)) as file:
        file.commit([(REVIEWS_TABLE, ()), (_ADD, (*about, before, after, review.undoes, seen))])
        kept = file.read(_FIRST_SINCE, (*review.key, seen))
        return kept == (review.action, review.reviewer, after)


def read_reviews(path: Path) -> list[Review]:
    """Return all reviews of the journal at ``path``, oldest first; none if there is no journal.

    Raises:
        NegGenError: If the journal cannot be read.
    """
    if not path.is_file():
        return []
    with JournalReader(path) as reader:
        return reviews_in(reader)


def reviews_in(reader: JournalReader) -> list[Review]:
    """Return all reviews of an open journal, oldest first.

    Raises:
        NegGenError: If the journal cannot be read.
    """
    if not list(reader.rows("SELECT 1 FROM sqlite_master WHERE name = 'reviews'")):
        return []
    return [_review(row) for row in reader.rows(_ALL)]


def latest(reviews: Iterable[Review]) -> dict[Key, Review]:
    """Return the last review of every record."""
    return {review.key: review for review in reviews}


def to_undo(reviews: Iterable[Review], key: Key, describes: str | None = None) -> Review | None:
    """Return the review of a record that an undo would take back, if any is left.

    Args:
        reviews: all of them, oldest first.
        key: the record.
        describes: the SHA-256 of the side of the item as it is now: what was decided before or
            while it was another is not taken back. None to ask whatever they describe.
    """
    standing: list[Review] = []
    for review in reviews:
        if review.key != key:
            continue
        if describes is not None and review.describes != describes:
            standing = []
        elif review.action == "undo":
            standing = [other for other in standing if other.number != review.undoes]
        else:
            standing.append(review)
    return standing[-1] if standing else None


def _review(row: Row) -> Review:
    return Review(
        (row["item_id"], row["modality"], row["completion"]),
        row["action"],
        row["reviewer"],
        row["describes"],
        State(**json.loads(row["before"])),
        State(**json.loads(row["after"])),
        row["undoes"],
        row["number"],
        row["at"],
    )
