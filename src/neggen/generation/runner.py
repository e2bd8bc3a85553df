"""The workers: many items at once, each answer looked up before it is asked for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from neggen.errors import NegGenError
from neggen.generation.backends.base import Backend, RequestFailed
from neggen.generation.journal import Entry, Failure, Journal
from neggen.generation.pipeline import ItemInput, MakeRecord
from neggen.generation.prompts import Prompts
from neggen.generation.records import InvalidAnswer, Record
from neggen.generation.requests import Completion, Request, Usage


@dataclass
class ModalitySummary:
    """What happened to one modality.

    Attributes:
        items: items that have this side.
        asked: answers that came from the backend in this run.
        reused: answers that came from the journal.
        valid: records made.
        failed: items without a record, counted by reason.
        usage: tokens of the answers asked for in this run.
        seconds: wall-clock time.
    """

    items: int = 0
    asked: int = 0
    reused: int = 0
    valid: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


@dataclass
class Runner:
    """Workers that share one iterator of items.

    Attributes:
        make_record: the plan.
        prompts: the templates.
        backend: who answers.
        generator: who answers, as the records and the journal name it.
        journal: where answers are looked up and kept, if anywhere.
        attempts: how often an invalid answer is asked for.
        counts: what happened so far.
        records: what was made so far.
        item_done: called after every item.
    """

    make_record: MakeRecord
    prompts: Prompts
    backend: Backend
    generator: str
    journal: Journal | None
    attempts: int
    counts: ModalitySummary
    records: list[Record]
    item_done: Callable[[], None]

    async def run(self, items: Iterator[ItemInput], concurrency: int) -> None:
        """Work through ``items`` with at most ``concurrency`` requests in flight.

        Raises:
            NegGenError: The first that a backend or the journal raises; the other workers stop.
        """
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(concurrency, self.counts.items)):
                    workers.create_task(self._work(items))
        except ExceptionGroup as group:
            explained, unexpected = group.split(NegGenError)
            if explained is None or unexpected is not None:
                raise
            raise explained.exceptions[0] from None

    async def _work(self, items: Iterator[ItemInput]) -> None:
        for item in items:
            try:
                record = await self.make_record(
                    item, self.prompts, self._ask, attempts=self.attempts
                )
            except (InvalidAnswer, RequestFailed) as error:
                self.counts.failed[error.kind] += 1
                await self._keep_failure(item, error.kind, error.reason)
            else:
                self.records.append(record)
                self.counts.valid += 1
            self.item_done()

    async def _ask(self, request: Request) -> str:
        key = request.key(self.backend.name, self.backend.model, self.backend.parameters)
        known = self.journal.lookup(key) if self.journal is not None else None
        if known is not None:
            self.counts.reused += 1
            return known.text
        completion = await self.backend.complete(request)
        # A lone surrogate can be in JSON but not in a file.
        text = completion.text.encode("utf-8", "replace").decode()
        if self.journal is not None:
            kept = Completion(text, completion.usage)
            await self.journal.acknowledge(Entry(key, request, self.generator, kept))
        self.counts.asked += 1
        self.counts.usage += completion.usage
        return text

    async def _keep_failure(self, item: ItemInput, kind: str, reason: str) -> None:
        if self.journal is not None:
            await self.journal.acknowledge(
                Failure(item.item_id, item.modality, self.generator, kind, reason)
            )
