"""The journal: every answer ever paid for, in one SQLite file.

An answer is *acknowledged* when the transaction that holds it is committed and synced to disk;
only then does generation go on with it. A process killed at any moment therefore asks again only
for answers that had not been acknowledged. Several processes may use one journal.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from neggen.errors import NegGenError
from neggen.generation.requests import Completion, Request, Usage

FORMAT = 1
BUSY_SECONDS = 60.0
"""How long to wait for another process that is committing."""

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    item_id TEXT NOT NULL, modality TEXT NOT NULL, step TEXT NOT NULL, attempt INTEGER NOT NULL,
    generator TEXT NOT NULL,
    answer TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (
    item_id TEXT NOT NULL, modality TEXT NOT NULL, generator TEXT NOT NULL,
    kind TEXT NOT NULL, reason TEXT NOT NULL,
    at TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Entry:
    """One answer on its way into the journal."""

    key: str
    request: Request
    generator: str
    completion: Completion


@dataclass(frozen=True)
class Failure:
    """An item that got no record, and why."""

    item_id: str
    modality: str
    generator: str
    kind: str
    reason: str


class Journal:
    """Reads and writes a journal file; use it as an async context manager.

    Commits happen in a thread, one at a time: while one transaction is being synced, further
    answers queue up for the next, so the batches grow with the load.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal, creating it if needed.

        Raises:
            NegGenError: If the file is corrupt, read-only, or of another format.
        """
        self.path = path
        self._queue: list[tuple[Entry | Failure, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._problem: Exception | None = None
        with self._errors_explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            self._reader = self._connect()
            version = self._reader.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, FORMAT):
                raise NegGenError(
                    f"{path} has journal format {version}, this version reads {FORMAT}; "
                    "move it away to start a new one."
                )
            self._writer.executescript(_TABLES + f"PRAGMA user_version = {FORMAT};")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise NegGenError(
                f"The journal {self.path} cannot be used ({error}); check that the disk has room, "
                "that the file may be written and that it is a neggen journal, then run the same "
                "command again."
            ) from error

    def lookup(self, key: str) -> Completion | None:
        """Return the acknowledged answer kept under ``key``, if any.

        Raises:
            NegGenError: If the file cannot be read.
        """
        with self._errors_explained():
            row = self._reader.execute(
                "SELECT answer, prompt_tokens, completion_tokens FROM answers WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else Completion(row[0], Usage(row[1], row[2]))

    async def acknowledge(self, entry: Entry | Failure) -> None:
        """Return once ``entry`` is safely on disk.

        Raises:
            NegGenError: If it cannot be written.
        """
        done = asyncio.get_running_loop().create_future()
        self._queue.append((entry, done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_queue())
        await done

    async def _commit_queue(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            try:
                await asyncio.to_thread(self._commit, [entry for entry, _ in batch])
            except Exception as error:  # whatever it is, the waiting workers must hear of it
                self._problem = error
            for _, done in batch:
                if done.cancelled():
                    continue  # its worker was interrupted while waiting; the answer is kept
                if self._problem is None:
                    done.set_result(None)
                else:
                    done.set_exception(self._problem)

    def _commit(self, entries: list[Entry | Failure]) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._errors_explained():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                self._writer.executemany(
                    # Another process may have asked the same; its answer was first and stays.
                    "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [_answer_row(entry, now) for entry in entries if isinstance(entry, Entry)],
                )
                self._writer.executemany(
                    "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (
                            entry.item_id,
                            entry.modality,
                            entry.generator,
                            entry.kind,
                            entry.reason,
                            now,
                        )
                        for entry in entries
                        if isinstance(entry, Failure)
                    ],
                )
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    async def __aenter__(self) -> Journal:
        """Return the journal."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit what is queued and close the file, also after an error or Ctrl-C.

        Raises:
            NegGenError: If it cannot be written and nobody was told yet.
        """
        if self._committing is not None:
            await self._committing
        with self._errors_explained():
            self._writer.close()
            self._reader.close()
        if self._problem is not None and (kind is None or not issubclass(kind, Exception)):
            raise self._problem


def _answer_row(entry: Entry, now: str) -> tuple[str | int, ...]:
    request, usage = entry.request, entry.completion.usage
    return (
        entry.key,
        request.item_id,
        request.modality,
        request.step,
        request.attempt,
        entry.generator,
        entry.completion.text,
        usage.prompt_tokens,
        usage.completion_tokens,
        now,
    )
