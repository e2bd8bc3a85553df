"""Where people review: looks entries up, and does with them what was decided, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import polars as pl

from neggen.data.store import load_dataset
from neggen.errors import NegGenError
from neggen.generation.journal.reviews import (
    Action,
    Key,
    Review,
    State,
    add_review,
    read_reviews,
)
from neggen.generation.parsing import record_from_answer
from neggen.generation.record_files import current_records
from neggen.generation.records import (
    SCHEMA,
    Answer,
    InvalidAnswer,
    Modality,
    Record,
    fill,
    records_frame,
)
from neggen.generation.reviews import BY_HAND, changing, side_digest
from neggen.studio.entries import Entries, Entry
from neggen.studio.pictures import Thumbnails
from neggen.studio.regenerate import MakeBackend, another_record
from neggen.workspace import Workspace, atomic_path

ELSEWHERE = "Somebody else has decided about this meanwhile; look at it again."
"""What is said to whoever decides on what they have not seen."""
DRAWS = 4
"""How often another answer is asked for until one is not the same again."""
LONGEST_NAME = 80
"""Characters of a reviewer's name."""


class Desk:
    """A workspace under review, for several people at once.

    Attributes:
        workspace: what is reviewed.
        data: its catalogue.
        thumbnails: its pictures.
    """

    def __init__(self, workspace: Workspace, make_backend: MakeBackend) -> None:
        """Open the catalogue.

        Args:
            workspace: imported; what was generated and measured is looked at as it comes.
            make_backend: makes who answers when another record is asked for.
        """
        self.workspace = workspace
        self.data = load_dataset(workspace)
        self.thumbnails = Thumbnails(self.data, missing_ok=True)
        self._make_backend = make_backend
        self._lock = threading.RLock()
        self._entries: Entries | None = None
        self._stamp: object = None

    @property
    def entries(self) -> Entries:
        """What there is now, also if another process has changed it.

        Raises:
            NegGenError: If a file of the workspace is damaged.
        """
        with self._lock:
            stamp = self._files()
            if self._entries is None or stamp != self._stamp:
                self._entries = self._read()
                self._stamp = self._files()
            return self._entries

    def approve(self, key: Key, seen: int, reviewer: str) -> None:
        """Agree to a record as it is.

        Args:
            key: which one.
            seen: number of its latest review that the reviewer knew of.
            reviewer: who decides.

        Raises:
            NegGenError: If there is no record, somebody decided meanwhile, or it cannot be kept.
        """
        before = self._having_record(key)
        self._decide(key, seen, "approve", reviewer, State("approved", before.state.record))

    def reject(self, key: Key, seen: int, reviewer: str) -> None:
        """Let an item go without a record; arguments and errors as for :meth:`approve`."""
        before = self._having_record(key)
        self._decide(key, seen, "reject", reviewer, State("rejected", before.state.record))

    def edit(
        self, key: Key, seen: int, reviewer: str, marked: str, replacements: tuple[str, ...]
    ) -> None:
        """Write a record anew, checked as an answer of a generator is.

        Args:
            key: which one.
            seen: number of its latest review that the reviewer knew of.
            reviewer: who decides.
            marked: the description with square brackets around key attributes.
            replacements: one a pair of brackets.

        Raises:
            NegGenError: If it is no valid record, or as for :meth:`approve`.
        """
        entry = self._entry(key)
        item_id, modality, completion = key
        answer = Answer(marked=marked, replacements=replacements)
        try:
            record = record_from_answer(item_id, cast(Modality, modality), answer, completion)
        except InvalidAnswer as problem:
            raise NegGenError(problem.reason) from None
        generator = (entry.state.record or {}).get("generator", BY_HAND)
        self._decide(key, seen, "edit", reviewer, State("edited", _row(record, generator)))

    def regenerate(self, key: Key, seen: int, reviewer: str) -> None:
        """Ask the backend for another record; arguments and errors as for :meth:`approve`."""
        entry = self._entry(key)
        _named(reviewer)  # before anything is paid
        if entry.seen != seen:
            raise NegGenError(ELSEWHERE)
        again = sum(review.action == "regenerate" for review in entry.reviews)
        item_id, modality, completion = key
        for number in range(again * DRAWS, (again + 1) * DRAWS):
            backend = self._make_backend(number)
            record, generator = another_record(
                self.workspace, self.data, entry.item, cast(Modality, modality), backend
            )
            row = _row(record.model_copy(update={"completion": completion}), generator)
            if entry.state.record is None or row["negative"] != entry.state.record["negative"]:
                break
        else:
            raise NegGenError(
                f"{generator} says the same again about the {modality} of item '{item_id}'; edit "
                "it by hand."
            )
        self._decide(key, seen, "regenerate", reviewer, State("regenerated", row))

    def undo(self, key: Key, seen: int, reviewer: str) -> None:
        """Take the latest decision back; arguments and errors as for :meth:`approve`."""
        last = self._entry(key).undoable
        if last is None:
            raise NegGenError(f"Nothing was decided about the {key[1]} of item '{key[0]}' yet.")
        self._decide(key, seen, "undo", reviewer, last.before, undoes=last.number)

    def _decide(
        self,
        key: Key,
        seen: int,
        action: Action,
        reviewer: str,
        after: State,
        undoes: int | None = None,
    ) -> None:
        reviewer = _named(reviewer)
        with self._lock:
            entry = self._entry(key)
            self._refuse_another_description(key, after)
            digest = side_digest(self.data, entry.item, key[1])
            review = Review(key, action, reviewer, digest, entry.state, after, undoes)
            self._begin_records()
            if not add_review(self.workspace.journal_path, review, seen):
                raise NegGenError(ELSEWHERE)
            self._entries = None
            _ = self.entries  # puts the review into the records

    def _refuse_another_description(self, key: Key, after: State) -> None:
        """Refuse a record whose description is not that of the item's other negatives."""
        if after.used is None:
            return
        for other in self.entries.siblings(key):
            if other.used and other.used["description"] != after.used["description"]:
                raise NegGenError(
                    f"The {key[1]} of item '{key[0]}' has further negatives of another "
                    "description; change only the replacements, or reject the others first."
                )

    def _begin_records(self) -> None:
        """Begin a file of records if there is none, which a review could be put into."""
        path = self.workspace.records_path
        with changing(path):
            if not path.is_file():
                with atomic_path(path) as temporary:
                    records_frame([], BY_HAND).write_parquet(temporary)

    def _entry(self, key: Key) -> Entry:
        entry = self.entries.find(key)
        if entry is None:
            raise NegGenError(f"There is no {key[1]} of an item '{key[0]}' here any more.")
        return entry

    def _having_record(self, key: Key) -> Entry:
        entry = self._entry(key)
        if entry.state.record is None:
            raise NegGenError(
                f"The {key[1]} of item '{key[0]}' has no description yet; write one, or have it "
                "generated."
            )
        return entry

    def _read(self) -> Entries:
        path, journal = self.workspace.records_path, self.workspace.journal_path
        records = (
            current_records(path, journal, self.data)
            if path.is_file()
            else pl.DataFrame(schema=SCHEMA)
        )
        quality = self.workspace.quality_dir / "items.parquet"
        return Entries(self.data, records, read_reviews(journal), quality)

    def _files(self) -> list[tuple[int, int] | None]:
        journal = self.workspace.journal_path
        paths = (
            self.workspace.records_path,
            journal,
            journal.with_name(f"{journal.name}-wal"),
            self.workspace.quality_dir / "items.parquet",
        )
        return [_stamp(path) for path in paths]


def _named(reviewer: str) -> str:
    """Return the name of who decides, or ask for one."""
    name = reviewer.strip()[:LONGEST_NAME]
    if not name:
        raise NegGenError("Say who you are first: write your name at the top of the page.")
    return name


def marked_text(record: Mapping[str, Any]) -> str:
    """Return the description of a record with square brackets around its key attributes."""
    return fill(record["template"], tuple(f"[{value}]" for value in record["values"]))


def _row(record: Record, generator: str) -> dict[str, Any]:
    return records_frame([record], generator).to_dicts()[0]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size
