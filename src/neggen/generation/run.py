"""Run generation over a data set: reuse what the journal knows, ask for the rest, keep all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.base import Backend
from neggen.generation.inputs import describable_sides, item_inputs
from neggen.generation.journal import Journal
from neggen.generation.pipeline import plan_for
from neggen.generation.prompts import load_prompts
from neggen.generation.records import Modality, Record, check_records, records_frame
from neggen.generation.requests import Plan
from neggen.generation.runner import ModalitySummary, Runner
from neggen.workspace import Workspace, atomic_path

OnProgress = Callable[[int, int], None]
"""Called with items done and items in all, over every modality."""


@dataclass
class GenerationSummary:
    """What happened, by modality, and who wrote the answers."""

    generator: str
    modalities: dict[Modality, ModalitySummary] = field(default_factory=dict)


def generate(
    workspace: Workspace,
    data: Dataset,
    backend: Backend,
    *,
    plan: Plan = "fused",
    modalities: Sequence[str] | None = None,
    concurrency: int = 16,
    attempts: int = 3,
    on_progress: OnProgress | None = None,
) -> GenerationSummary:
    """Generate for every item of a workspace and write ``workspace.records_path``.

    Answers are kept in ``workspace.journal_path`` as they come; the same call after an interruption
    asks only for what is missing. Ctrl-C keeps what arrived and is raised onward.

    Args:
        workspace: where the journal and the records are.
        data: the catalogue.
        backend: who answers; it is closed at the end.
        plan: ``fused`` (one call an item) or ``staged`` (three).
        modalities: which sides to describe; by default those that the catalogue has.
        concurrency: requests in flight at once, at least 1.
        attempts: how often an invalid answer is asked for before the item is given up, at least 1.
        on_progress: called after every item.

    Raises:
        NegGenError: If the journal or the backend cannot be used.
    """
    records, summary = _run(
        _generate(
            data, backend, plan, modalities, concurrency, attempts, on_progress,
            workspace.journal_path,
        )
    )  # fmt: skip
    if records.is_empty() and workspace.records_path.is_file():
        return summary  # a run that failed throughout should not cost the records of a good one
    try:
        with atomic_path(workspace.records_path) as temporary:
            records.write_parquet(temporary)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise NegGenError(
            f"{workspace.records_path} cannot be written ({error}); make room or mend its "
            "permissions and run the same command again: all answers are kept."
        ) from None
    return summary


def generate_records(
    data: Dataset,
    backend: Backend,
    *,
    plan: Plan = "fused",
    modalities: Sequence[str] | None = None,
    concurrency: int = 16,
    attempts: int = 3,
    on_progress: OnProgress | None = None,
) -> pl.DataFrame:
    """Generate in memory, without workspace or journal; arguments as for :func:`generate`.

    Returns:
        One row a record with the columns of ``neggen.generation.records.SCHEMA``.

    Raises:
        NegGenError: If the backend cannot be used.
    """
    return _run(
        _generate(data, backend, plan, modalities, concurrency, attempts, on_progress, None)
    )[0]


def read_records(path: Path) -> pl.DataFrame:
    """Read records and check every one.

    Raises:
        NegGenError: If the file is missing, unreadable, or holds an invalid record.
    """
    if not path.is_file():
        raise NegGenError(f"{path} does not exist; make it with: neggen generate {path.parent}")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise NegGenError(f"{path} is not a readable Parquet file: {error}.") from None
    check_records(frame, str(path))
    return frame


def _run(
    job: Coroutine[Any, Any, tuple[pl.DataFrame, GenerationSummary]],
) -> tuple[pl.DataFrame, GenerationSummary]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(job)
    # A notebook already runs a loop in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, job).result()


async def _generate(
    data: Dataset,
    backend: Backend,
    plan: Plan,
    names: Sequence[str] | None,
    concurrency: int,
    attempts: int,
    on_progress: OnProgress | None,
    journal_path: Path | None,
) -> tuple[pl.DataFrame, GenerationSummary]:
    async with AsyncExitStack() as open_things:
        open_things.push_async_callback(backend.close)
        for name, value in (("concurrency", concurrency), ("attempts", attempts)):
            if value < 1:
                raise NegGenError(f"{name} must be at least 1, but is {value}.")
        make_record = plan_for(plan, finished_only=backend.finished, backend_name=backend.name)
        sides = describable_sides(data, names)
        journal = None
        if journal_path is not None:
            journal = await open_things.enter_async_context(Journal(journal_path))
        generator = backend.name if backend.model is None else f"{backend.name}: {backend.model}"
        summary = GenerationSummary(generator)
        records: list[Record] = []
        done, total = 0, sum(len(indices) for indices in sides.values())

        def item_done() -> None:
            nonlocal done
            done += 1
            if on_progress is not None:
                on_progress(done, total)

        for modality, indices in sides.items():
            counts = summary.modalities[modality] = ModalitySummary(items=len(indices))
            runner = Runner(
                make_record=make_record,
                prompts=load_prompts(),
                backend=backend,
                generator=generator,
                journal=journal,
                # What only knows finished answers would say the same again.
                attempts=1 if backend.finished else attempts,
                counts=counts,
                records=records,
                item_done=item_done,
            )
            start = time.perf_counter()
            await runner.run(item_inputs(data, modality, indices), concurrency)
            counts.seconds = time.perf_counter() - start
    order = {item_id: index for index, item_id in enumerate(data.item_ids)}
    records.sort(key=lambda record: (order[record.item_id], record.modality, record.completion))
    return records_frame(records, generator), summary
