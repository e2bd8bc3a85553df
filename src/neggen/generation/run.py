"""Run generation over a data set: reuse what the journal knows, ask for the rest, keep all."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypedDict, TypeVar, Unpack

import polars as pl

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.base import Backend
from neggen.generation.dialogue import Rules, Screen
from neggen.generation.inputs import describable_sides, item_inputs
from neggen.generation.journal import Journal
from neggen.generation.pipeline import check_plan
from neggen.generation.prompts import Prompts, load_prompts
from neggen.generation.record_files import read_records, written
from neggen.generation.records import InvalidAnswer, Modality, Record
from neggen.generation.requests import Plan
from neggen.generation.runner import LookAhead, ModalitySummary, Runner
from neggen.workspace import Workspace

Result = TypeVar("Result")


@dataclass
class GenerationSummary:
    """What happened so far, by modality, and who wrote the answers.

    Attributes:
        generator: who wrote the answers.
        modalities: the counts.
        done: sides of items that are worked through.
        stopped: why nothing more was asked, such as the limit of a budget; None if all was.
        seconds: wall-clock time.
    """

    generator: str
    modalities: dict[Modality, ModalitySummary] = field(default_factory=dict)
    done: int = 0
    stopped: str | None = None
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Sides of items in all."""
        return sum(side.items for side in self.modalities.values())

    @property
    def cost(self) -> float | None:
        """US dollars of this run; None where no price is known."""
        costs = [side.cost for side in self.modalities.values() if side.cost is not None]
        return sum(costs) if costs else None


class Options(TypedDict, total=False):
    """How :func:`generate` works; every one can be left out.

    Attributes:
        plan: ``fused`` (one call an item, the default) or ``staged`` (three).
        modalities: which sides to describe; by default those that the catalogue has.
        completions: negatives per template, at least 1 (the default).
        attempts: how often an invalid answer is asked for before the item is given up; 3.
        concurrency: requests in flight at once, at most; 16.
        prompts: the templates; the packaged ones by default.
        screen: judges records beyond their form.
        retry_failed: whether items that failed in an earlier run are tried again.
        on_progress: called after every side of an item.
    """

    plan: Plan
    modalities: Sequence[str] | None
    completions: int
    attempts: int
    concurrency: int
    prompts: Prompts | None
    screen: Screen | None
    retry_failed: bool
    on_progress: Callable[[GenerationSummary], None] | None


def generate(
    workspace: Workspace, data: Dataset, backend: Backend, **options: Unpack[Options]
) -> GenerationSummary:
    """Generate for every item of a workspace and write ``workspace.records_path``.

    Answers are kept in ``workspace.journal_path`` as they come; the same call after an interruption
    asks only for what is missing. Ctrl-C waits for what is in flight, because that is paid for; a
    second one does not.

    Args:
        workspace: where the journal and the records are.
        data: the catalogue.
        backend: who answers; it is closed at the end.
        options: see :class:`Options`.

    Raises:
        NegGenError: If the journal or the backend cannot be used.
    """
    return run_to_end(_generate(workspace, data, backend, **options))


def generate_records(data: Dataset, backend: Backend, **options: Unpack[Options]) -> pl.DataFrame:
    """Generate without a workspace; arguments as for :func:`generate`.

    Returns:
        One row a record with the columns of ``neggen.generation.records.SCHEMA``.

    Raises:
        NegGenError: If the backend cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="neggen-") as folder:
        workspace = Workspace(folder)
        generate(workspace, data, backend, **options)
        return read_records(workspace.records_path)


async def look_ahead(
    journal: Journal,
    data: Dataset,
    backend: Backend,
    note: LookAhead,
    **options: Unpack[Options],
) -> GenerationSummary:
    """Work through a catalogue with known answers; the question a side stops at goes to ``note``.

    Nothing is asked, claimed or written but what becomes of sides without a question.

    Args:
        journal: where answers are looked up.
        data: the catalogue.
        backend: who would answer; it is not closed.
        note: takes the questions, several at once.
        options: see :class:`Options`.

    Raises:
        NegGenError: If an option or the journal cannot be used.
    """
    run = _Run.prepare(data, backend, **options)
    runner = run.runner(journal, note)
    await runner.run(item_inputs(data, run.sides), lambda records: None, run.workers)
    return run.summary


def run_to_end(job: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in an event loop of its own, also within a notebook, which has one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(job)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, job).result()


async def _generate(
    workspace: Workspace, data: Dataset, backend: Backend, **options: Unpack[Options]
) -> GenerationSummary:
    async with AsyncExitStack() as open_things:
        open_things.push_async_callback(backend.close)
        run = _Run.prepare(data, backend, **options)
        journal = await open_things.enter_async_context(Journal(workspace.journal_path))
        runner, summary = run.runner(journal), run.summary
        stock: frozenset[tuple[str, str]] = frozenset()
        while True:
            with written(workspace.records_path, run.generator, data.item_ids) as records:
                await runner.run(item_inputs(data, run.sides), records.add, run.workers)
                found = frozenset() if backend.finished else records.stock() - stock
            summary.stopped = runner.stopped
            if not found or summary.stopped is not None:
                return summary
            stock |= found
            runner.go_over_again(_without_stock(stock, run.rules.screen))
            summary.done = 0


@dataclass
class _Run:
    """One run with its options checked."""

    rules: Rules
    backend: Backend
    generator: str
    sides: dict[Modality, list[int]]
    attempts: int
    retry_failed: bool
    concurrency: int
    on_progress: Callable[[GenerationSummary], None] | None
    summary: GenerationSummary

    @classmethod
    def prepare(
        cls,
        data: Dataset,
        backend: Backend,
        *,
        plan: Plan = "fused",
        modalities: Sequence[str] | None = None,
        completions: int = 1,
        attempts: int = 3,
        concurrency: int = 16,
        prompts: Prompts | None = None,
        screen: Screen | None = None,
        retry_failed: bool = False,
        on_progress: Callable[[GenerationSummary], None] | None = None,
    ) -> _Run:
        numbers = {"concurrency": concurrency, "attempts": attempts, "completions": completions}
        for name, value in numbers.items():
            if value < 1:
                raise NegGenError(f"{name} must be at least 1, but is {value}.")
        rules = Rules(
            plan,
            prompts or load_prompts(),
            completions=completions,
            screen=screen,
            finished=backend.finished,
        )
        check_plan(plan, backend)
        sides = describable_sides(data, modalities)
        generator = backend.name if backend.model is None else f"{backend.name}: {backend.model}"
        # What only knows finished answers would say the same again.
        attempts = 1 if backend.finished else attempts
        summary = GenerationSummary(
            generator, {name: ModalitySummary(items=len(ids)) for name, ids in sides.items()}
        )
        return cls(
            rules, backend, generator, sides, attempts, retry_failed, concurrency, on_progress,
            summary,
        )  # fmt: skip

    @property
    def workers(self) -> int:
        return min(self.concurrency, self.summary.total)

    def runner(self, journal: Journal, note: LookAhead | None = None) -> Runner:
        started = time.perf_counter()

        def item_done() -> None:
            self.summary.done += 1
            self.summary.seconds = time.perf_counter() - started
            if self.on_progress is not None:
                self.on_progress(self.summary)

        return Runner(
            self.rules, self.backend, self.generator, journal, self.attempts, self.retry_failed,
            self.summary.modalities, item_done, note,
        )  # fmt: skip


def _without_stock(stock: frozenset[tuple[str, str]], screen: Screen | None) -> Screen:
    """Return a screen that also refuses replacements in ``stock``."""

    def judge(record: Record) -> None:
        for replacement in record.replacements:
            if (record.modality, replacement.lower()) in stock:
                raise InvalidAnswer(
                    "stock answer",
                    f"The replacement {replacement!r} was given for many other items; give one "
                    "that is made for this item.",
                )
        if screen is not None:
            screen(record)

    return judge
