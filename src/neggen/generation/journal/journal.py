"""The journal: every answer ever paid for, and what became of every item, in one SQLite file.

An answer is *acknowledged* when the transaction that holds it is committed and synced to disk;
only then does generation go on with it. A process killed at any moment therefore asks again only
for answers that had not been acknowledged.

Several processes may use one journal. The questions about one side of an item are a *unit*, and
a process claims a unit before it asks; another one that wants it waits until it is given back, and
then finds the answers. The claims of a process that died are void, which its lock file tells.
A batch that a provider works on holds its units too (state ``batched``); nobody waits for those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from neggen.errors import NegGenError
from neggen.generation.journal import sql
from neggen.generation.journal.entries import Failure, Kept, Unit
from neggen.generation.journal.exchange import copy
from neggen.generation.journal.file import JournalFile, Statement
from neggen.generation.journal.owner import Owner, owners_folder
from neggen.generation.journal.shards import merge_shards
from neggen.generation.records import InvalidAnswer
from neggen.generation.requests import Completion, Request, Usage

CLAIM_SECONDS = 0.1
"""How often a unit that another process works on is looked at."""


class Journal:
    """Reads and writes a journal file; use it as an async context manager.

    Attributes:
        path: where the file is.
        owner: this process, as others see it.

    Commits happen in a thread, one at a time: while one transaction is being synced, further
    entries queue up for the next, so the batches grow with the load.
    """

    def __init__(self, path: Path, *, shard: bool = False) -> None:
        """Open the journal, creating it if needed.

        Args:
            path: where it is.
            shard: whether it is a shard of another one, for use over a network; otherwise the
                shards beside it that nobody writes any more are taken over.

        Raises:
            NegGenError: If the file is corrupt, read-only, or of another format.
        """
        self.path = path
        self._file = JournalFile(path, shared=not shard)
        self._shard = shard
        self.owner = Owner(owners_folder(path))
        self._queue: list[tuple[Sequence[Statement], asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._problem: Exception | None = None
        self._claimed = False
        try:
            self.merge_shards()
        except BaseException:
            self._file.close()
            self.owner.close()
            raise

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

    def spent(
        self, generator: str = "", input_price: float = 0.0, output_price: float = 0.0
    ) -> float:
        """Return what all calls of this journal cost, in US dollars.

        Args:
            generator: whose answers of unknown cost are priced; those of others cost nothing.
            input_price: US dollars per million prompt tokens.
            output_price: the same for the tokens of the answers.
        """
        row = self._file.read(
            "SELECT (SELECT total(coalesce(cost, (generator = ?) * (prompt_tokens * ? + "
            "completion_tokens * ?) / 1e6)) FROM answers) + (SELECT total(cost) FROM units)",
            (generator, input_price, output_price),
        )
        return float(row[0]) if row is not None else 0.0

    async def claim(self, unit: Unit, waiting: Callable[[], None] = lambda: None) -> bool:
        """Return True once nobody but this process asks about ``unit``, False if a batch does.

        Args:
            unit: what is to be asked about.
            waiting: called while another process has it, again and again; what it raises ends this.

        Raises:
            NegGenError: If the journal cannot be written.
        """
        self._claimed = True
        waited = False
        while True:
            row = (unit.key, unit.item_id, unit.modality, unit.generator, self.owner.name)
            await self._write(sql.CLAIM, row)
            state, owner = self.holder(unit)
            if state == "batched":
                return False
            if owner == self.owner.name:
                if waited:  # whoever had it may have left its answers in a shard
                    await asyncio.to_thread(self.merge_shards)
                return True
            waited = True
            waiting()
            if owner is not None and self.owner.is_dead(owner):
                await self._write(sql.RELEASE, (None, None, owner))
            else:
                await asyncio.sleep(CLAIM_SECONDS)

    def holder(self, unit: Unit) -> tuple[str | None, str | None]:
        """Return the state of a unit, and the process or batch that works on it, if any."""
        row = self._file.read("SELECT state, owner FROM units WHERE key = ?", (unit.key,))
        return row if row is not None else (None, None)

    async def release_dead(self) -> None:
        """Give back the units of all processes that are no more."""
        for (owner,) in self.rows("SELECT DISTINCT owner FROM units WHERE state = 'claimed'"):
            if self.owner.is_dead(owner):
                await asyncio.to_thread(self.merge_shards)
                await self._write(sql.RELEASE, (None, None, owner))

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
        await self._write(sql.ACKNOWLEDGE, row)

    async def reject(self, key: str, problem: InvalidAnswer) -> None:
        """Note for good what is wrong with an answer."""
        await self._write(sql.REJECT, (problem.kind, problem.reason, key))

    async def finish(self, unit: Unit, failure: Failure | None) -> None:
        """Note what became of a unit, and give it back; one that others hold stays as it is."""
        kind, reason, attempts, cost = (
            (None, None, None, None)
            if failure is None
            else (failure.kind, failure.reason, failure.attempts, failure.cost)
        )
        row = (
            unit.key, unit.item_id, unit.modality, unit.generator,
            "valid" if failure is None else "dead", kind, reason, attempts, cost,
            self.owner.name,
        )  # fmt: skip
        await self._write(sql.FINISH, row)

    async def release(self, unit: Unit, cost: float | None = None) -> None:
        """Give a unit back whose questions are not all answered; ``cost`` is what that took."""
        await self._write(sql.RELEASE, (cost, unit.key, None))

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query, for the rooms of this package that keep tables here too."""
        return self._file.rows(query, values)

    def merge_shards(self) -> None:
        """Take over the shards beside this journal that nobody writes any more.

        Raises:
            NegGenError: If one cannot be used, or a worker of an earlier run does not end.
        """
        if not self._shard:
            merge_shards(self._file, self.owner)

    def begin_shard(self, shard: Path, units: Sequence[Unit]) -> None:
        """Put what is known about some units into a new shard, if anything is.

        Raises:
            NegGenError: If it cannot be written.
        """
        copy(self._file, shard, [unit.key for unit in units])

    async def _write(self, statement: str, values: tuple[object, ...]) -> None:
        await self.commit([(statement, values)])

    async def commit(self, statements: Sequence[Statement]) -> None:
        """Return once statements are committed, all in one transaction.

        Raises:
            NegGenError: If they cannot be written.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((statements, done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_queue())
        await done

    async def _commit_queue(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            try:
                together = [one for statements, _ in batch for one in statements]
                await asyncio.to_thread(self._file.commit, together)
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
            await self._write(sql.RELEASE, (None, None, self.owner.name))
        self._file.close()
        self.owner.close()
        if self._problem is not None and (kind is None or not issubclass(kind, Exception)):
            raise self._problem
