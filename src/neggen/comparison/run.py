"""Running a study: tune every row, fit and test it under every seed, and write the table.

Everything that is finished is on disk as soon as it is: a study that was killed or interrupted
goes on where it stopped and ends with the same table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, TypeVar

from neggen.comparison.checking import check_sight, learns
from neggen.comparison.fitting import Fit, Task
from neggen.comparison.loading import split_data
from neggen.comparison.rows import Row
from neggen.comparison.space import with_settings
from neggen.comparison.study import Study
from neggen.comparison.summary import summarize
from neggen.comparison.tuning import Tuned, tune
from neggen.comparison.writing import write_results
from neggen.data.store import is_labeled, load_dataset
from neggen.errors import NegGenError
from neggen.generation.record_files import count_records
from neggen.workspace import Workspace

Tell = Callable[[str, int, int], None]
"""Called with what is done, how much of it is finished, and how much there is."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """Where and on what a study runs: its workspace, its folder, a device and processes."""

    workspace: Workspace
    folder: Path
    device: str = "cpu"
    jobs: int = 1


def run_study(
    workspace: Workspace,
    study: Study,
    name: str,
    *,
    device: str = "cpu",
    jobs: int = 1,
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Run a study, or what is left of it, and write its results to ``studies/NAME``.

    Args:
        workspace: imported and, for models that need it, generated and encoded.
        study: what is compared.
        name: the folder inside ``studies``.
        device: where models are fitted.
        jobs: how many processes fit at once.
        tell: called as work goes on.

    Returns:
        What ``results.json`` holds.

    Raises:
        NegGenError: If the workspace lacks what the study needs, or if it changes meanwhile.
    """
    if not re.fullmatch(r"\w[\w.-]*", name) or name == "cache":
        raise NegGenError(
            f"{name!r} cannot be the name of a study; use letters, digits, '-', '_' and '.', and "
            "not 'cache'."
        )
    tell = tell or (lambda what, done, total: None)
    place = Place(workspace, workspace.studies_dir / name, device, jobs)
    labeled = is_labeled(workspace)
    study = study.on(labeled=labeled)
    rows = _rows_that_can_be(workspace, study)
    _check_part(workspace, study)
    _check_descriptions(workspace, study, rows)
    tuned = _tune_all(place, study, rows, tell)
    chosen = {row: found.params for row, found in tuned.items()}

    wanted: dict[tuple[str, ...], list[tuple[Row, dict[str, Any], int]]] = {}
    for row in rows:
        settings = study.settings(row, chosen)
        wanted["row", row] = [(study.rows[row], settings, seed) for seed in range(study.seeds)]
    for sweep_name, sweep in study.sweeps.items():
        if sweep.row not in rows:
            continue
        settings = study.settings(sweep.row, chosen)
        for number, value in enumerate(sweep.values):
            changed = with_settings(settings, {sweep.setting or sweep_name: value})
            wanted["sweep", sweep_name, str(number)] = [
                (study.rows[sweep.row], changed, seed) for seed in range(sweep.seeds or study.seeds)
            ]
    calls = [
        partial(_fit, place, study, row, settings, seed)
        for fits in wanted.values()
        for row, settings, seed in fits
    ]
    fitted = _all(place, calls, "Fitting and testing", tell)
    _check_unchanged(workspace, list(tuned.values()), fitted)
    found = iter(fitted)
    fits = {key: [next(found) for _ in tasks] for key, tasks in wanted.items()}
    known = {"writers": _writers(workspace), "labeled": labeled}
    results = {**summarize(study, rows, tuned, fits), **known}
    write_results(place.folder, study, results, {row: fits["row", row] for row in rows})
    return results


def _fit(place: Place, study: Study, row: Row, settings: dict[str, Any], seed: int) -> Fit:
    task = Task(place.workspace, row, study.split_config(seed), seed, place.device)
    return task.fit(settings)


def _tune_all(place: Place, study: Study, rows: Sequence[str], tell: Tell) -> dict[str, Tuned]:
    """Tune every row that has trials of its own; bases before those that start from them."""
    own = {study.tuned_row(row) for row in rows}
    own |= {study.tuned_row(base) for row in own if (base := study.rows[row].base)}
    tuned: dict[str, Tuned] = {}
    for with_base in (False, True):
        names = [
            row for row in study.rows if row in own and bool(study.rows[row].base) == with_base
        ]
        chosen = {row: found.params for row, found in tuned.items()}
        calls = [
            partial(
                tune,
                place.workspace,
                study,
                name,
                study.settings(name, chosen),
                place.folder / "trials.db",
                device=place.device,
                on_trial=partial(tell, f"Tuning {name}") if place.jobs == 1 else None,
            )
            for name in names
        ]
        quiet = place.jobs == 1 or not study.budget
        tuned |= zip(
            names,
            _all(place, calls, "Tuning", (lambda *_: None) if quiet else tell),
            strict=True,
        )
    return tuned


def _all(
    place: Place, calls: Sequence[Callable[[], Result]], what: str, tell: Tell
) -> list[Result]:
    """Make all calls, in this process or several, and return their results in order."""
    results: list[Any] = [None] * len(calls)
    if calls:
        tell(what, 0, len(calls))
    for finished, (number, result) in enumerate(_made(place.jobs, calls), start=1):
        results[number] = result
        tell(what, finished, len(calls))
    return results


def _made(jobs: int, calls: Sequence[Callable[[], Result]]) -> Iterator[tuple[int, Result]]:
    """Yield the number and result of every call as it ends."""
    if min(jobs, len(calls)) <= 1:
        yield from ((number, call()) for number, call in enumerate(calls))
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_share_threads, initargs=(jobs,)
    )
    try:
        numbers = {pool.submit(call): number for number, call in enumerate(calls)}
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    except BrokenProcessPool:
        raise NegGenError(
            f"One of {jobs} processes was killed, probably for lack of memory; use fewer --jobs. "
            "What is finished is kept."
        ) from None
    except BaseException:
        # What is under way goes on from its checkpoint next time; nobody should wait for it now.
        for process in set(active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _share_threads(jobs: int) -> None:
    import torch

    torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // jobs)))


def _writers(workspace: Workspace) -> list[str]:
    """Return who wrote the workspace's descriptions."""
    if not workspace.records_path.is_file():
        return []
    return sorted({writer for _, writer in count_records(workspace.records_path)})


def _rows_that_can_be(workspace: Workspace, study: Study) -> list[str]:
    """Return the rows without those that keep the only modality there is, or one there is not."""
    modalities: set[str] = set()
    if workspace.records_path.is_file():
        modalities = {modality for modality, _ in count_records(workspace.records_path)}
    rows = [
        name
        for name, row in study.rows.items()
        if row.modality in (None, "own") or (row.modality in modalities and len(modalities) > 1)
    ]
    if not rows:
        raise NegGenError(
            f"Every row keeps a single modality, of which {workspace.path} has no other to leave "
            f"out; give a row without 'modality'."
        )
    return rows


def _check_descriptions(workspace: Workspace, study: Study, rows: Sequence[str]) -> None:
    """See that descriptions are there before hours of fits, if some row learns from them."""
    split = study.split_config(0)
    data = split_data(workspace, split, described=False)
    check_sight(study, rows, data)
    if any(learns(study, row, data) for row in rows):
        split_data(workspace, split, described=True)  # which says what is missing


def _check_unchanged(workspace: Workspace, tuned: Sequence[Tuned], fits: Sequence[Fit]) -> None:
    """Refuse to put into one table what was made from different data or descriptions.

    Descriptions count only for what learned from them.
    """
    contents = {fit.content_hash for fit in fits} | {found.content_hash for found in tuned}
    described = {fit.described_by for fit in fits if fit.vectors_hash is not None}
    described |= {found.described_by for found in tuned}
    if max(len(contents - {None}), len(described - {None})) > 1:
        raise NegGenError(
            f"{workspace.path} has changed while the study ran, so that its rows do not go "
            f"together; give the same command again."
        )


def _check_part(workspace: Workspace, study: Study) -> None:
    if study.part == "test":
        return
    data = load_dataset(workspace)
    if study.part not in data.test_sets:
        raise NegGenError(
            f"part = '{study.part}' is not in {workspace.path}; parts are "
            f"{', '.join(['test', *data.test_sets])}."
        )
    if not data.matrix(study.part).nnz:
        raise NegGenError(
            f"part = '{study.part}' of {workspace.path} holds nothing that is not in the log, too; "
            f"test on another part."
        )
