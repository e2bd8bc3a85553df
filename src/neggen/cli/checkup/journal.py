"""Whether the journal of a workspace is whole and free, and what in it is not finished."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from neggen.cli.checkup import Note
from neggen.cli.output import counted
from neggen.errors import NegGenError, quoted
from neggen.workspace import Workspace

LOCK_SECONDS = 2
"""A generation that writes holds the journal for some milliseconds."""


def check_journal(place: Workspace) -> str:
    """Return the finding; see :data:`neggen.cli.checkup.Check`."""
    from neggen.generation.journal.listing import JournalListing

    path, records = place.path, _any_records(place.records_path)
    if not place.journal_path.exists():
        return "none" + (": neggen generate would ask for everything anew" if records else " yet")
    with JournalListing(place.journal_path) as listing:
        for row in listing.rows("PRAGMA quick_check(1)"):
            if row["quick_check"] != "ok":
                raise NegGenError(
                    f"The journal {listing.path} is damaged ({row['quick_check']}); save what can "
                    f"be read with: neggen journal {quoted(path)} --export FILE.jsonl; then move "
                    f"the journal away and --restore FILE.jsonl"
                )
        sides, warning = listing.sides(), listing.warning
        batched = listing.waiting_exports()
    answers = sum(side.answers for side in sides)
    if records and not answers:
        raise NegGenError(
            f"The journal {place.journal_path} is empty, yet there are records: the answers that "
            "they were made from are lost, and neggen generate would ask for all of them anew; "
            "put a copy of it back if you have one."
        )
    _refuse_locked(place.journal_path)
    dead = sum(side.dead for side in sides)
    unfinished = sum(side.unfinished for side in sides)
    told = [f"{answers:,} answers, {dead:,} given up"]
    if dead:
        told.append(
            f"see why with: neggen journal {quoted(path)} --failed, and ask again with "
            f"neggen generate … --retry-failed"
        )
    if unfinished:
        told.append(f"{counted(unfinished, 'side')} of items unfinished: {_who_goes_on(place)}")
    if batched:
        told.append(
            f"{counted(batched, 'question')} in batches: collect the answers with --batch or "
            "--import-batch"
        )
    if warning:
        told.append(warning.rstrip("."))
    return told[0] if len(told) == 1 else Note("; ".join(told))


def _any_records(path: Path) -> bool:
    """Whether there are records; a generation that failed leaves a file without any."""
    from neggen.generation.record_files import count_records

    try:
        return path.is_file() and bool(count_records(path))
    except NegGenError:
        return True  # another check says that the file is damaged


def _who_goes_on(place: Workspace) -> str:
    from neggen.generation.journal.owner import anyone_alive, owners_folder

    if anyone_alive(owners_folder(place.journal_path)):
        return "another process is at it"
    return "the same neggen generate command goes on"


def _refuse_locked(journal: Path) -> None:
    """Take the lock that generation needs to write, and give it back."""
    if not journal.stat().st_size:
        return
    address = f"{journal.resolve().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, timeout=LOCK_SECONDS, uri=True)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        raise NegGenError(
            f"The journal {journal} cannot be written now ({error}), so neggen generate would "
            "fail; end the program that holds it open, or mend its permissions."
        ) from None
