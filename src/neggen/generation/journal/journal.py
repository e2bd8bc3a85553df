"""The journal: every answer ever paid for, and what became of every item, in one SQLite file.

An answer is *acknowledged* when the transaction that holds it is committed and synced to disk;
only then does generation go on with it. A process killed at any moment therefore asks again only
for answers that had not been acknowledged.

Several processes may use one journal. The questions about one side of an item are a *unit*, and
a process claims a unit before it asks; another one that wants it waits until it is given back, and
then finds the answers. The claims of a process that died are void, which its lock file tells.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neggen.errors import NegGenError
from neggen.generation.journal.file import JournalFile, Statement, shard_folder
from neggen.generation.journal.owner import Owner
from neggen.generation.records import InvalidAnswer
from neggen.generation.requests import Completion, Request, Usage

CLAIM_SECONDS = 0.1
"""How often a unit that another process works on is looked at."""


@dataclass(frozen=True)
class Unit:
    """The questions about one side of one item, as one set of prompts asks them.

    Attributes:
        key: SHA-256 over everything that decides the questions, hexadecimal.
        item_id: external id.
        modality: which side.
        generator: who answers, for people.
    """

    key: str
    item_id: str
    modality: str
    generator: str


@dataclass(frozen=True)
class Failure:
    """Why a unit is dead: no record, or fewer than were wanted.

    Attributes:
        kind: two or three words to count by.
        reason: a sentence.
        attempts: how many answers to one question had been allowed.
        cost: US dollars that unanswered calls may have been billed; None where unknown.
    """

    kind: str
    reason: str
    attempts: int
    cost: float | None = None


@dataclass(frozen=True)
class Kept:
    """An acknowledged answer, and what was wrong with it if it was found invalid."""

    completion: Completion
    rejected: InvalidAnswer | None = None


_CLAIM = """
INSERT INTO units (key, item_id, modality, generator, state, owner)
VALUES (?, ?, ?, ?, 'claimed', ?)
ON CONFLICT (key) DO UPDATE SET state = 'claimed', owner = excluded.owner
WHERE state != 'claimed'
"""
_ACKNOWLEDGE = """
INSERT OR IGNORE INTO answers (key, unit, item_id, modality, step, completion, attempt, generator,
answer, prompt_tokens, completion_tokens, cost) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_REJECT = "UPDATE answers SET rejected_kind = ?, rejected_reason = ? WHERE key = ?"
_FINISH = """
INSERT INTO units (key, item_id, modality, generator, state, kind, reason, attempts, cost)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET state = excluded.state, owner = NULL, kind = excluded.kind,
reason = excluded.reason, attempts = excluded.attempts,
cost = coalesce(cost + excluded.cost, cost, excluded.cost)
"""
_RELEASE = """
UPDATE units SET state = iif(kind IS NULL, 'open', 'dead'), owner = NULL
WHERE state = 'claimed' AND (key = ? OR owner = ?)
"""


class Journal:
    """Reads and writes a journal file; use it as an async context manager.

    Attributes:
        path: where the file is.
        owner: this process, as others see it.

    Commits happen in a thread, one at a time: while one transaction is being synced, further
    entries queue up for the next, so the batches grow with the load.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal, creating it if needed.

        Raises:
            NegGenError: If the file is corrupt, read-only, or of another format.
        """
        self.path = path
        self._file = JournalFile(path)
        self.owner = Owner(path.with_name(f"{path.name}-owners"))
        self._queue: list[tuple[Statement, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._problem: Exception | None = None
        self._claimed = False
        merge_shards(self._file, self.owner)

    def lookup(self, key: str) -> Kept | None:
        """Return the acknowledged answer kept under ``key``, if any.

        Raises:
            NegGenError: If the file cannot be read, or the disk is full, so that nothing more
                should be asked.
        """
        if self._file.full:
            raise NegGenError(
                f"The disk of {self.path} is full; every answer so far is kept: make room and run "
                "the same command again."
            )
        row = self._file.read(
            "SELECT answer, prompt_tokens, completion_tokens, cost, rejected_kind, rejected_reason "
            "FROM answers WHERE key = ?",
            (key,),
        )
        if row is None:
            return None
        rejected = InvalidAnswer(row[4], row[5]) if row[4] is not None else None
        return Kept(Completion(row[0], Usage(row[1], row[2]), row[3]), rejected)

    def outcome(self, unit: Unit) -> Literal["valid"] | Failure | None:
        """Return whether the records of a unit are made, or why it is dead, or None."""
        row = self._file.read(
            "SELECT state, kind, reason, attempts FROM units WHERE key = ?", (unit.key,)
        )
        if row is not None and row[0] == "dead":
            return Failure(*row[1:])
        return "valid" if row is not None and row[0] == "valid" else None

    def spent(self) -> float:
        """Return what all calls of this journal cost, in US dollars, as far as it is known."""
        row = self._file.read(
            "SELECT (SELECT total(cost) FROM answers) + (SELECT total(cost) FROM units)"
        )
        return float(row[0]) if row is not None else 0.0

    async def claim(self, unit: Unit) -> None:
        """Return once nobody but this process asks about ``unit``.

        Raises:
            NegGenError: If the journal cannot be written.
        """
        self._claimed = True
        while True:
            row = (unit.key, unit.item_id, unit.modality, unit.generator, self.owner.name)
            await self._write(_CLAIM, row)
            held = self._file.read("SELECT owner FROM units WHERE key = ?", (unit.key,))
            owner = held[0] if held is not None else None
            if owner == self.owner.name:
                return
            if owner is not None and self.owner.is_dead(owner):
                await self._write(_RELEASE, (None, owner))
            else:
                await asyncio.sleep(CLAIM_SECONDS)

    async def acknowledge(
        self, key: str, unit: Unit, request: Request, completion: Completion
    ) -> None:
        """Return once an answer is safely on disk.

        Raises:
            NegGenError: If it cannot be written.
        """
        row = (
            key, unit.key, request.item_id, request.modality, request.step, request.completion,
            request.attempt, unit.generator, completion.text, completion.usage.prompt_tokens,
            completion.usage.completion_tokens, completion.cost,
        )  # fmt: skip
        await self._write(_ACKNOWLEDGE, row)

    async def reject(self, key: str, problem: InvalidAnswer) -> None:
        """Note for good what is wrong with an answer."""
        await self._write(_REJECT, (problem.kind, problem.reason, key))

    async def finish(self, unit: Unit, failure: Failure | None) -> None:
        """Note what became of a unit, and give it back."""
        kind, reason, attempts, cost = (
            (None, None, None, None)
            if failure is None
            else (failure.kind, failure.reason, failure.attempts, failure.cost)
        )
        row = (
            unit.key, unit.item_id, unit.modality, unit.generator,
            "valid" if failure is None else "dead", kind, reason, attempts, cost,
        )  # fmt: skip
        await self._write(_FINISH, row)

    async def release(self, unit: Unit) -> None:
        """Give a unit back whose questions are not all answered."""
        await self._write(_RELEASE, (unit.key, None))

    async def _write(self, sql: str, values: tuple[object, ...]) -> None:
        """Return once a statement is part of a committed transaction."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(((sql, values), done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_queue())
        await done

    async def _commit_queue(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            try:
                await asyncio.to_thread(self._file.commit, [statement for statement, _ in batch])
            except Exception as error:  # whatever it is, the waiting workers must hear of it
                self._problem = error
            for _, done in batch:
                if done.cancelled():
                    continue  # its worker was interrupted while waiting; the entry is kept
                if self._problem is None:
                    done.set_result(None)
                else:
                    done.set_exception(self._problem)

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
        if self._claimed and self._problem is None:
            await self._write(_RELEASE, (None, self.owner.name))
        self._file.close()
        self.owner.close()
        if self._problem is not None and (kind is None or not issubclass(kind, Exception)):
            raise self._problem


def merge_shards(file: JournalFile, owner: Owner) -> None:
    """Take over every shard beside a journal whose writer is no more, and delete it.

    A shard is called after its writer. A process killed in between merges it again the next time,
    which changes nothing.

    Raises:
        NegGenError: If a shard or the journal cannot be used.
    """
    for shard in sorted(shard_folder(file.path).glob("*.sqlite")):
        if owner.is_dead(shard.stem):
            file.merge(shard)
            shard.unlink()
