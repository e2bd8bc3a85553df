"""A worker on a cluster: runs the very same runner over a part of the catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neggen.errors import NegGenError
from neggen.generation.backends.base import Backend
from neggen.generation.backends.budget import Budget
from neggen.generation.dialogue import Rules
from neggen.generation.distributed.messages import Counts, Outcome, Part
from neggen.generation.journal import Journal
from neggen.generation.journal.owner import is_dead, owners_folder
from neggen.generation.journal.shards import shard_path
from neggen.generation.records import Modality
from neggen.generation.requests import ItemInput
from neggen.generation.runner import ModalitySummary, Runner

WATCH_SECONDS = 0.5
"""How often a worker looks whether its run is still wanted."""


@dataclass(frozen=True)
class Job:
    """What every worker of a run gets. It is pickled and may be logged: no key is in it.

    Attributes:
        journal: the main journal, whose shards the workers write.
        run: the name under which the run is alive as an owner of that journal.
        make_backend: makes who answers, called with ``budget=`` if there is one.
        rules: how items are asked about.
        generator: who answers, as the journal names it.
        attempts: how often an invalid answer is asked for, in all.
        retry_failed: whether items that failed in an earlier run are tried again.
        concurrency: requests in flight at once.
    """

    journal: Path
    run: str
    make_backend: Callable[..., Backend]
    rules: Rules
    generator: str
    attempts: int
    retry_failed: bool
    concurrency: int

    def ended(self) -> bool:
        """Return whether the run has ended or its driver has died."""
        return is_dead(owners_folder(self.journal), self.run)


class Worker:
    """Works through parts, one after another; an actor of Ray."""

    def __init__(self, job: Job) -> None:
        """Prepare; nothing is opened yet."""
        self._job = job
        self._loop = asyncio.Runner()
        self._backend: Backend | None = None
        self._budget: Budget | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Work through one part."""
        part = Part.of(batch)
        try:
            outcome = self._loop.run(self._work(part))
        except NegGenError as error:
            outcome = Outcome(part.number, error=str(error))
        return outcome.batch()

    async def _work(self, part: Part) -> Outcome:
        job = self._job
        if job.ended():
            return Outcome(part.number)
        path = shard_path(job.journal, job.run, part.number)
        async with Journal(path, shard=True) as journal:
            # Once more: whoever merges the shards looks first for the run, then for its workers.
            if job.ended():
                return Outcome(part.number)
            counts: dict[Modality, ModalitySummary] = {}
            for side in part.sides:
                counts.setdefault(side.modality, ModalitySummary()).items += 1
            runner = Runner(
                job.rules, self._backend_for(part.share, journal.spent()), job.generator, journal,
                job.attempts, job.retry_failed, counts, lambda: None,
            )  # fmt: skip
            watching = asyncio.create_task(self._watch(runner))
            try:
                await runner.run(_inputs(part), lambda records: None, job.concurrency)
            finally:
                watching.cancel()
        return Outcome(part.number, {name: _counted(summary) for name, summary in counts.items()})

    def _backend_for(self, share: float | None, spent: float) -> Backend:
        if share is None:
            self._backend = self._backend or self._job.make_backend()
        elif self._backend is None or self._budget is None:
            self._budget = Budget(share, spent)
            self._backend = self._job.make_backend(budget=self._budget)
        else:
            self._budget.limit, self._budget.spent = share, spent
        return self._backend

    async def _watch(self, runner: Runner) -> None:
        while not self._job.ended():
            await asyncio.sleep(WATCH_SECONDS)
        runner.stopped = "the run has ended"


def _inputs(part: Part) -> Iterator[ItemInput]:
    return (side.read() for side in part.sides)


def _counted(summary: ModalitySummary) -> Counts:
    return Counts(
        sides=summary.items,
        asked=summary.asked,
        rejected=summary.rejected,
        prompt_tokens=summary.usage.prompt_tokens,
        completion_tokens=summary.usage.completion_tokens,
        cost=summary.cost,
    )
