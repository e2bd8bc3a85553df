"""Generation on a Ray cluster: the driver, which says what to do and takes over what was done.

The workers run the same :class:`~neggen.generation.runner.Runner` as a single process does, each
part of the catalogue with a journal of its own: a *shard* in the workspace. At the end the shards
are merged and an ordinary pass writes the records, for which it finds every answer in the journal.

Nothing that was acknowledged is asked twice, whoever dies:

- The driver sends out only sides with an open question, puts what is known about them into their
  shard, and keeps them claimed, so that no other process asks about them.
- A part whose worker or node dies goes to another worker, which opens the same shard. Should the
  first still be alive, cut off from the cluster, both respect each other's claims.
- Workers end by themselves when their driver is dead. Whoever opens the journal next waits for them
  and merges their shards before it asks anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Unpack

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.event_loop import run_to_end
from neggen.generation.backends.base import Backend
from neggen.generation.backends.budget import Budget
from neggen.generation.distributed.accounts import account
from neggen.generation.distributed.cluster import Pool, connected, nodes, outcomes
from neggen.generation.distributed.messages import Counts, Outcome, Part, Side
from neggen.generation.distributed.progress import LOOK_SECONDS, Progress
from neggen.generation.distributed.stream import Stream
from neggen.generation.distributed.worker import Job, Worker
from neggen.generation.journal import Journal, Unit
from neggen.generation.journal.owner import Owner, owners_folder
from neggen.generation.journal.shards import only_driver, shard_path
from neggen.generation.prepared import GenerationSummary, Options, PreparedRun
from neggen.generation.records import Modality
from neggen.generation.run import generate_async, look_ahead
from neggen.generation.runner import Pending
from neggen.workspace import Workspace

PART_SIDES = 256
"""Sides of items that a worker gets at once, at most."""
PARTS_PER_WORKER = 4
"""So many parts, if they are not too small, so that the workers end at about the same time."""
CLAIMS_TOGETHER = 256
"""Units claimed in one transaction."""


def generate_on_ray(
    workspace: Workspace,
    data: Dataset,
    make_backend: Callable[..., Backend],
    address: str | None = None,
    *,
    workers: int | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    budget: float | None = None,
    **options: Unpack[Options],
) -> GenerationSummary:
    """Generate as :func:`neggen.generation.run.generate` does, with workers on a Ray cluster.

    The folder of the workspace must be on a file system that all nodes see under the same path;
    docs/distributed.md says what it must offer. The API key reaches the workers through the
    environment that their node was started with, never through Ray.

    Ctrl-C waits for what is in flight, because that is paid for; a second one does not.

    Args:
        workspace: where the journal and the records are.
        data: the catalogue.
        make_backend: makes who answers, on the workers and here; it is pickled, such as
            ``functools.partial(OpenAICompatibleBackend, url, model)``. Without a budget it is
            called without arguments, else with ``budget=``, a ``Budget``. Limits on the rate of
            requests hold for each worker.
        address: of the cluster, such as ``auto`` or ``10.0.0.1:6379``; None starts one on this
            machine.
        workers: processes; by default one a node. Each has ``concurrency`` requests in flight.
        cpus: CPU cores of each worker, or a share of one.
        gpus: GPUs of each worker, or a share of one, for models that run in the worker.
        budget: US dollars that may be spent over all runs. Every part of the catalogue gets its
            share; what is left over at the end is spent here.
        options: see :class:`~neggen.generation.prepared.Options`; ``prompts`` and ``screen`` are
            pickled.

    Raises:
        NegGenError: If the journal, the backend or the cluster cannot be used.
    """
    pool = Pool(workers, cpus, gpus)
    drive = _Drive(workspace, data, make_backend, address, pool, budget, options)
    return run_to_end(drive.run())


class _Drive:
    """One run of the driver."""

    def __init__(
        self,
        workspace: Workspace,
        data: Dataset,
        make_backend: Callable[..., Backend],
        address: str | None,
        pool: Pool,
        budget: float | None,
        options: Options,
    ) -> None:
        # A worker on another machine needs the whole path.
        self.workspace = Workspace(workspace.path.absolute())
        self.path = self.workspace.journal_path
        self.data, self.address, self.pool, self.options = data, address, pool, options
        self.budget = None if budget is None else Budget(budget)
        self.make_backend = make_backend
        self.backend = make_backend() if budget is None else make_backend(budget=self.budget)
        self.prepared = PreparedRun.prepare(data, self.backend, **options)
        self.counts: dict[Modality, Counts] = {}
        self.done = 0
        self.started = time.perf_counter()

    async def run(self) -> GenerationSummary:
        """Have the workers ask, and write the records."""
        with only_driver(self.path):
            try:
                async with Journal(self.path) as journal:
                    await journal.release_dead()
                    units, summary = await self._claim_what_is_open(journal)
                    if units and self._left(journal) != 0:
                        before = account(journal, units)
                        await self._send_out(journal, units, summary)
                        after = account(journal, units)  # also the answers of workers that died
                        self.counts = {name: after[name].minus(before[name]) for name in after}
                    if self.budget is not None:
                        self.budget.spent = journal.spent()
            except BaseException:
                await self.backend.close()
                raise
            return await self._write()

    async def _claim_what_is_open(self, journal: Journal) -> tuple[list[Unit], GenerationSummary]:
        """Return the units with an open question, in the order of the catalogue, all claimed."""
        units: list[Unit] = []

        async def note(pending: Pending) -> None:
            if await journal.claim(pending.unit):
                units.append(pending.unit)

        many: Options = {**self.options, "concurrency": CLAIMS_TOGETHER, "on_progress": None}
        summary = await look_ahead(journal, self.data, self.backend, note, **many)
        place = {item_id: place for place, item_id in enumerate(self.data.item_ids)}
        units.sort(key=lambda unit: (place[unit.item_id], unit.modality))
        summary.done = summary.total - len(units)
        return units, summary

    def _left(self, journal: Journal) -> float | None:
        """Return the US dollars that may still be spent; None without a budget."""
        return None if self.budget is None else max(0.0, self.budget.limit - journal.spent())

    async def _send_out(
        self, journal: Journal, units: list[Unit], summary: GenerationSummary
    ) -> None:
        with connected(self.address):
            run = Owner(owners_folder(self.path))
            parts = self._parts(journal, units, run.name)
            job = Job(
                self.path, run.name, self.make_backend, self.prepared.rules,
                self.prepared.generator, self.prepared.attempts, self.prepared.retry_failed,
                self.prepared.concurrency,
            )  # fmt: skip
            rows = [part.row() for part in parts]
            stream = Stream(partial(outcomes, Worker, job, rows, self.pool))
            progress = Progress(self.path, run.name)
            try:
                async for batch in stream.with_pauses(LOOK_SECONDS):
                    if batch is None:
                        await asyncio.to_thread(progress.look)
                    else:
                        outcome = Outcome.of(batch)
                        self._take(outcome, summary)
                        progress.ended(outcome.part)
                    self._tell(progress.added_to(summary))
            finally:
                run.close()  # the workers end what is in flight and begin nothing more
                async for _ in stream:
                    pass
                await asyncio.to_thread(journal.merge_shards)

    def _parts(self, journal: Journal, units: Sequence[Unit], run: str) -> list[Part]:
        """Divide units into parts, and begin the shards of those about which something is known."""
        place = {item_id: place for place, item_id in enumerate(self.data.item_ids)}
        workers = self.pool.workers or nodes()
        even = ceil(len(units) / (workers * PARTS_PER_WORKER))
        size = min(PART_SIDES, max(even, self.prepared.concurrency))
        left = self._left(journal)
        parts = []
        for number, start in enumerate(range(0, len(units), size)):
            chosen = units[start : start + size]
            journal.begin_shard(shard_path(self.path, run, number), chosen)
            share = None if left is None else left * len(chosen) / len(units)
            sides = [Side.of(unit, self.data, place[unit.item_id]) for unit in chosen]
            parts.append(Part(number, sides, share))
        return parts

    def _take(self, outcome: Outcome, summary: GenerationSummary) -> None:
        if outcome.error is not None:
            raise NegGenError(f"{outcome.error} (A worker on the node {outcome.node} says so.)")
        if not outcome.counts:
            raise NegGenError(
                f"The node {outcome.node} does not see the locks of this run in "
                f"{owners_folder(self.path)}; the workspace must be on a file system that all "
                "nodes share, with locks that hold across machines."
            )
        for name, counted in outcome.counts.items():
            counted.add_to(summary.modalities[name])
            summary.done += counted.sides

    def _tell(self, summary: GenerationSummary) -> None:
        # The ordinary pass begins at nothing again, with what the workers did.
        self.done = summary.done = max(self.done, summary.done)
        summary.seconds = time.perf_counter() - self.started
        on_progress = self.options.get("on_progress")
        if on_progress is not None:
            on_progress(summary)

    async def _write(self) -> GenerationSummary:
        """Write the records in an ordinary pass, which asks for what the workers left."""
        ordinary: Options = {
            **self.options,
            "on_progress": lambda summary: self._tell(self._whole(summary)),
        }
        if self.counts:
            ordinary["retry_failed"] = False  # the workers have tried again
        summary = self._whole(
            await generate_async(self.workspace, self.data, self.backend, **ordinary)
        )
        summary.seconds = time.perf_counter() - self.started
        return summary

    def _whole(self, summary: GenerationSummary) -> GenerationSummary:
        """Add what the workers did to the summary of the ordinary pass, which reused all that."""
        sides = {name: replace(side) for name, side in summary.modalities.items()}
        for name, side in sides.items():
            counted = self.counts.get(name, Counts())
            side.reused = max(0, side.reused - counted.asked)
            counted.add_to(side)
        return replace(summary, modalities=sides)
