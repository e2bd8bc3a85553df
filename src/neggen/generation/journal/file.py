"""The journal's SQLite file: durable transactions, and room kept for the last answers."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

from neggen.errors import NegGenError, quoted

FORMAT = 2
BUSY_SECONDS = 60.0
"""How long to wait for another process that is committing."""
RESERVE_BYTES = 4 * 2**20
"""Kept free on the disk, so that answers already paid for fit when it runs full."""

SHARDS = "-shards"
"""How the name of the folder ends that lies beside a journal."""

Statement = tuple[str, tuple[object, ...]]

_NOW = "DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"
_TABLES = f"""
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    unit TEXT NOT NULL,
    item_id TEXT NOT NULL, modality TEXT NOT NULL,
    step TEXT NOT NULL, completion INTEGER NOT NULL, attempt INTEGER NOT NULL,
    generator TEXT NOT NULL,
    answer TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cost REAL,
    rejected_kind TEXT, rejected_reason TEXT,
    at TEXT NOT NULL {_NOW}
);
CREATE TABLE IF NOT EXISTS units (
    key TEXT PRIMARY KEY,
    item_id TEXT NOT NULL, modality TEXT NOT NULL, generator TEXT NOT NULL,
    state TEXT NOT NULL, owner TEXT,
    kind TEXT, reason TEXT, attempts INTEGER, cost REAL,
    at TEXT NOT NULL {_NOW}
);
CREATE INDEX IF NOT EXISTS answers_by_unit ON answers (unit);
CREATE TABLE IF NOT EXISTS merged (name TEXT PRIMARY KEY);
PRAGMA user_version = {FORMAT};
"""


class JournalFile:
    """One journal file, open for reading in this thread and for committing in another.

    Attributes:
        full: whether the disk ran full; what was committed until now is safe, no more will fit.
    """

    def __init__(self, path: Path, *, shared: bool = True) -> None:
        """Open or create the file.

        Args:
            path: where it is.
            shared: whether other processes read and write it meanwhile (write-ahead log, needs a
                local disk); otherwise a plain rollback journal is used.

        Raises:
            NegGenError: If the file is corrupt, read-only, or of another format, or the disk full.
        """
        self.path = path
        self.full = False
        self._writing = threading.Lock()
        # A shard lies beside others, among which whatever could not be written to it is looked for.
        self._rescue_folder = shard_folder(path) if shared else path.parent
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _connect(path, shared)
            self._reader = _connect(path, shared)
            version = self._reader.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, FORMAT):
                raise NegGenError(
                    f"{path} has journal format {version}, this version reads {FORMAT}; "
                    "move it away to start a new one."
                )
            if version == 0:
                self._writer.executescript(_TABLES)
            self._reserve = _set_aside(path.parent, RESERVE_BYTES)

    def read(self, query: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query.

        Raises:
            NegGenError: If the file cannot be read.
        """
        with explained(self.path):
            row: tuple[Any, ...] | None = self._reader.execute(query, values).fetchone()
            return row

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query.

        Raises:
            NegGenError: If the file cannot be read.
        """
        with explained(self.path):
            return self._reader.execute(query, values).fetchall()

    def commit(self, statements: Sequence[Statement]) -> None:
        """Execute statements in one transaction and return when it is on disk.

        On a full disk the reserve makes room once and ``full`` is set. If the file cannot be
        written for another reason, the statements go into a file beside it, which is merged when
        the journal is opened the next time; or at worst into one in the temporary folder, which
        has to be moved there first.

        Raises:
            NegGenError: If they could not be committed to the journal itself.
        """
        try:
            self._commit(statements)
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL and not self.full:
                self.full = True
                self._reserve.close()
                self.commit(statements)
                return
            with explained(self.path, _rescue(self._rescue_folder, statements)):
                raise

    @contextmanager
    def transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Yield what executes SQL in one transaction, of which nothing stays after an error.

        Raises:
            NegGenError: If the file cannot be written.
        """
        with explained(self.path), self._transaction() as execute:
            yield execute

    def _commit(self, statements: Sequence[Statement]) -> None:
        with self._transaction() as execute:
            for sql, values in statements:
                execute(sql, values)

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        execute = self._writer.execute
        with self._writing:
            execute("BEGIN IMMEDIATE")
            try:
                yield execute
                execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    execute("ROLLBACK")
                raise

    @contextmanager
    def attached(self, other: Path) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Open another journal file as ``other`` beside this one, which is ``main``.

        Yields what executes SQL on both; what is not committed in the end is rolled back.

        Raises:
            NegGenError: If either file cannot be used.
        """
        with explained(other), self._writing:
            self._writer.execute("ATTACH ? AS other", (str(other),))
            try:
                yield self._writer.execute
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                self._writer.execute("DETACH other")

    def close(self) -> None:
        """Close the file and give the reserve back."""
        with explained(self.path):
            self._writer.close()
            self._reader.close()
        self._reserve.close()


@contextmanager
def explained(path: Path, saved: str = "") -> Iterator[None]:
    """Turn an error of SQLite or the file system into one sentence; ``saved`` comes after it."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise NegGenError(
            f"The journal {path} cannot be used ({error}); {_remedy(path, error)}.{saved}"
        ) from error


def _remedy(path: Path, error: Exception) -> str:
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF not in damaged:
        return (
            "check that the disk has room, that the file may be written and that it is a neggen "
            "journal, then run the same command again"
        )
    away = f"move it away, with {path.name}-wal if there is one"
    if path.parent.name.endswith(SHARDS):
        return f"it is damaged: {away}; what it held is asked again"
    command = f"neggen journal {quoted(path.parent)}"
    return (
        f"it is damaged: save what can be read with {command} --export FILE.jsonl, then {away}, "
        f"and put the rest back with {command} --restore FILE.jsonl; what is lost is asked again"
    )


def shard_folder(path: Path) -> Path:
    """Return the folder of the files that are to be merged into the journal at ``path``."""
    return path.with_name(f"{path.name}{SHARDS}")


def _connect(path: Path, shared: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA journal_mode = {'WAL' if shared else 'DELETE'}")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _set_aside(folder: Path, size: int) -> IO[bytes]:
    """Return a nameless file that takes room until it is closed, or this process ends."""
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it outlives this function)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.write(bytes(size))
            file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _rescue(best: Path, statements: Sequence[Statement]) -> str:
    """Save statements in a file of their own; return a sentence about it, if there was a place."""
    for folder in (best, Path(tempfile.gettempdir())):
        place = folder / f"rescued-{uuid.uuid4().hex}.sqlite"
        try:
            with closing(JournalFile(place, shared=False)) as file:
                file._commit(statements)
        except (NegGenError, sqlite3.Error, OSError):
            continue
        moved = "" if folder == best else f"; move this file into the folder {best} first"
        return f" The answers that were on their way are in {place}{moved}."
    return ""
