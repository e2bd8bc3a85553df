"""Where people review: looks entries up, and does with them what was decided, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import polars as pl

from neggen.data.dataset import Dataset
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
from neggen.generation.reviews import BY_HAND, changing
from neggen.studio.entries import Entries, Entry, Seen
from neggen.studio.pictures import Thumbnails
from neggen.studio.regenerate import MakeBackend, another_record
from neggen.workspace import Workspace, atomic_path

ELSEWHERE = "Somebody else has changed this meanwhile; look at it again."
"""What is said to whoever decides on what they have not seen."""
Stamp = tuple[int, int] | None
"""When a file was written last and its size, or None if it is not there."""
DRAWS = 4
"""How often another answer is asked for until one is not the same again."""
READS = 4
"""How often the files are read until none changes meanwhile."""
LONGEST_NAME = 80
"""Characters of a reviewer's name."""


class Desk:
    """A workspace under review, for several people at once.

    Attributes:
        workspace: what is reviewed.
        data: its catalogue, read anew after an import.
        thumbnails: the pictures of ``data``.
    """

    data: Dataset
    thumbnails: Thumbnails

    def __init__(self, workspace: Workspace, make_backend: MakeBackend) -> None:
        """Open the catalogue.

        Args:
            workspace: imported; what was generated and measured is looked at as it comes.
            make_backend: makes who answers when another record is asked for.
        """
        self.workspace = workspace
        self._make_backend = make_backend
        self._lock = threading.RLock()
        self._entries: Entries | None = None
        self._stamps: list[Stamp] = []
        self._read_catalogue()

    @property
    def entries(self) -> Entries:
        """What there is now, also if another process has changed it, even while it is read.

        Raises:
            NegGenError: If a file of the workspace is damaged.
        """
        with self._lock:
            if _stamp(self.workspace.manifest_path) not in (self._imported, None):
                self._read_catalogue()
            for _ in range(READS):
                files = self._files()
                if self._entries is not None and files == self._stamps:
                    break
                # Stamped as before: what is written while this is read has not been seen.
                self._entries, self._stamps = self._read(), files
            assert self._entries is not None  # it was read
            return self._entries

    def approve(self, key: Key, seen: Seen, reviewer: str) -> None:
        """Agree to a record as it is.

        Args:
            key: which one.
            seen: what the reviewer saw of it.
            reviewer: who decides.

        Raises:
            NegGenError: If there is no record, it is another one or about something else than was
                seen, or the decision cannot be kept.
        """
        before = self._having_record(key)
        self._decide(before, seen, "approve", reviewer, State("approved", before.state.record))

    def reject(self, key: Key, seen: Seen, reviewer: str) -> None:
        """Let an item go without a record; arguments and errors as for :meth:`approve`."""
        before = self._having_record(key)
        self._decide(before, seen, "reject", reviewer, State("rejected", before.state.record))

    def edit(
        self, key: Key, seen: Seen, reviewer: str, marked: str, replacements: tuple[str, ...]
    ) -> None:
        """Write a record anew, checked as an answer of a generator is.

        Args:
            key: which one.
            seen: what the reviewer saw of it.
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
        self._decide(entry, seen, "edit", reviewer, State("edited", _row(record, generator)))

    def regenerate(self, key: Key, seen: Seen, reviewer: str) -> None:
        """Ask the backend for another record; arguments and errors as for :meth:`approve`."""
        with self._lock:
            entry, data = self._entry(key), self.data
        _named(reviewer)  # before anything is paid
        if entry.seen != seen:
            raise NegGenError(ELSEWHERE)
        again = sum(review.action == "regenerate" for review in entry.reviews)
        item_id, modality, completion = key
        for number in range(again * DRAWS, (again + 1) * DRAWS):
            backend = self._make_backend(number)
            record, generator = another_record(
                self.workspace, data, entry.item, cast(Modality, modality), backend
            )
            row = _row(record.model_copy(update={"completion": completion}), generator)
            if entry.state.record is None or row["negative"] != entry.state.record["negative"]:
                break
        else:
            raise NegGenError(
                f"{generator} says the same again about the {modality} of item '{item_id}'; edit "
                "it by hand."
            )
        self._decide(entry, seen, "regenerate", reviewer, State("regenerated", row))

    def undo(self, key: Key, seen: Seen, reviewer: str) -> None:
        """Take the latest decision back; arguments and errors as for :meth:`approve`.

        What was decided about an earlier text or picture stays as it is: the record was another.
        """
        before = self._entry(key)
        last = before.undoable
        if last is None:
            raise NegGenError(
                f"Nothing was decided about the {key[1]} of item '{key[0]}' as it is now."
            )
        self._decide(before, seen, "undo", reviewer, last.before, undoes=last.number)

    def _decide(
        self,
        before: Entry,
        seen: Seen,
        action: Action,
        reviewer: str,
        after: State,
        undoes: int | None = None,
    ) -> None:
        """Keep what was decided about ``before``, if that is what was seen and still is there."""
        reviewer = _named(reviewer)
        key = before.key
        with self._lock:
            entries = self.entries
            self._refuse_while_importing()
            now = entries.find(key)
            if now is None or not now.seen == before.seen == seen:
                raise NegGenError(ELSEWHERE)
            _refuse_another_description(entries, key, after)
            review = Review(key, action, reviewer, before.describes, before.state, after, undoes)
            if not self._keep(review, seen):
                raise NegGenError(ELSEWHERE)
            self._entries = None
            path, journal = self.workspace.records_path, self.workspace.journal_path
            current_records(path, journal, self.data)  # puts the review into them

    def _keep(self, review: Review, seen: Seen) -> bool:
        """Keep a review unless somebody, or a generator, was faster; return whether it is kept."""
        path = self.workspace.records_path
        with changing(path):
            if _stamp(path) != self._stamps[0]:
                return False
            if not path.is_file():  # the review is to be put into it
                with atomic_path(path) as temporary:
                    records_frame([], BY_HAND).write_parquet(temporary)
            return add_review(self.workspace.journal_path, review, seen.number)

    def _refuse_while_importing(self) -> None:
        """Refuse to decide about a catalogue of which nobody knows what it will be."""
        if _stamp(self.workspace.manifest_path) is None:
            raise NegGenError(
                f"{self.workspace.path} is being imported anew; wait until that is done, or import "
                "it again with --overwrite if that was cut short."
            )

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

    def _read_catalogue(self) -> None:
        imported = _stamp(self.workspace.manifest_path)  # first: an import may begin meanwhile
        data = load_dataset(self.workspace)
        self.data, self.thumbnails = data, Thumbnails(data, missing_ok=True)
        self._imported, self._entries = imported, None

    def _read(self) -> Entries:
        path, journal = self.workspace.records_path, self.workspace.journal_path
        records = pl.DataFrame(schema=SCHEMA)
        if path.is_file():
            records = current_records(path, journal, self.data)
        quality = self.workspace.quality_dir / "items.parquet"
        return Entries(self.data, records, read_reviews(journal), quality)

    def _files(self) -> list[Stamp]:
        journal = self.workspace.journal_path
        paths = (
            self.workspace.records_path,
            journal,
            journal.with_name(f"{journal.name}-wal"),
            self.workspace.quality_dir / "items.parquet",
        )
        return [_stamp(path) for path in paths]


def _refuse_another_description(entries: Entries, key: Key, after: State) -> None:
    """Refuse a record whose description is not that of the item's other negatives."""
    if after.used is None:
        return
    for other in entries.siblings(key):
        if other.used and other.used["description"] != after.used["description"]:
            raise NegGenError(
                f"The {key[1]} of item '{key[0]}' has further negatives of another "
                "description; change only the replacements, or reject the others first."
            )


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


def _stamp(path: Path) -> Stamp:
    """Return what changes with a file, or None if it is not there."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size
