"""Run generation over a data set: reuse what the journal knows, ask for the rest, keep all."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from typing import Unpack

import polars as pl

from neggen.data.dataset import Dataset
from neggen.event_loop import run_to_end
from neggen.generation.backends.base import Backend
from neggen.generation.inputs import item_inputs
from neggen.generation.journal import Journal
from neggen.generation.prepared import GenerationSummary, Options, PreparedRun
from neggen.generation.record_files import read_records, written
from neggen.generation.runner import LookAhead
from neggen.generation.stock import without_stock
from neggen.workspace import Workspace


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
        options: see :class:`~neggen.generation.prepared.Options`.

    Raises:
        NegGenError: If the journal or the backend cannot be used.
    """
    return run_to_end(generate_async(workspace, data, backend, **options))


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
    *,
    keep: bool = True,
    **options: Unpack[Options],
) -> GenerationSummary:
    """Work through a catalogue with known answers; the question a side stops at goes to ``note``.

    Nothing is asked, claimed or written but, to ``keep``, what becomes of sides without a question
    and of answers that are refused now.

    Args:
        journal: where answers are looked up.
        data: the catalogue.
        backend: who would answer; it is not closed.
        note: takes the questions, several at once.
        keep: whether the journal learns of what is found.
        options: see :class:`~neggen.generation.prepared.Options`.

    Raises:
        NegGenError: If an option or the journal cannot be used.
    """
    run = PreparedRun.prepare(data, backend, **options)
    runner = run.runner(journal, note)
    runner.keep = keep
    await runner.run(item_inputs(data, run.sides), lambda records: None, run.workers)
    return run.summary


async def generate_async(
    workspace: Workspace, data: Dataset, backend: Backend, **options: Unpack[Options]
) -> GenerationSummary:
    """Do what :func:`generate` does, within a running event loop."""
    async with AsyncExitStack() as open_things:
        open_things.push_async_callback(backend.close)
        run = PreparedRun.prepare(data, backend, **options)
        journal = await open_things.enter_async_context(Journal(workspace.journal_path))
        await journal.release_dead()
        runner, summary = run.runner(journal), run.summary
        stock: frozenset[tuple[str, str]] = frozenset()
        while True:
            place = workspace.records_path
            with written(place, run.generator, data, workspace.journal_path) as records:
                await runner.run(item_inputs(data, run.sides), records.add, run.workers)
                found = frozenset() if backend.finished else records.stock() - stock
            summary.stopped = runner.stopped
            if not found or summary.stopped is not None:
                return summary
            stock |= found
            runner.go_over_again(without_stock(stock, run.rules.screen))
            summary.done = 0
