"""Choosing the settings of a row on the validation part, within a number of trials and minutes.

The first trial is the row as it stands, so tuning never ends below it. A space of fewer points than
the budget is tried point by point; another is searched with TPE (Bergstra et al. 2011). Trials are
kept in an Optuna storage: a killed tuning goes on after its last finished trial, and as it would
have gone on undisturbed, since each trial is drawn with a seed of its own.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from filelock import FileLock

from neggen.comparison.checking import learns
from neggen.comparison.fitting import Task
from neggen.comparison.space import (
    Space,
    decoded,
    distributions,
    points,
    with_settings,
    written,
)
from neggen.comparison.study import Study
from neggen.errors import NegGenError, from_extra
from neggen.models.device import lacks_memory
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from optuna import Study as Trials
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

PASSING = "passing"
"""The attribute of a trial that failed for a reason that may pass."""
ENOUGH = 10
"""Trials it takes to tell which settings matter."""
OnTrial = Callable[[int, int], None]
"""Called with (trials finished, trials in all)."""


@dataclass(frozen=True)
class Tuned:
    """What tuning chose.

    Attributes:
        params: the chosen settings by dotted name; empty for the row as it stands.
        value: their figure on validation; None if nothing was tried.
        trials: how many were finished, failed ones included.
        failed: how many of them could not be fitted.
        seconds: wall time of all trials.
        out_of_time: whether the time was over before the trials were.
        importance: how much of the variation each setting explains (PED-ANOVA, Watanabe et al.
            2023), most first; empty where there are too few trials to tell.
        content_hash: of the data; None if nothing was tried.
        described_by: a hash of the workspace's vectors, if the row learns from any.
    """

    params: dict[str, Any]
    value: float | None = None
    trials: int = 0
    failed: int = 0
    seconds: float = 0.0
    out_of_time: bool = False
    importance: dict[str, float] = field(default_factory=dict)
    content_hash: str | None = None
    described_by: str | None = None


def tune(
    workspace: Workspace,
    study: Study,
    name: str,
    settings: Mapping[str, Any],
    trials_path: Path,
    *,
    device: str = "cpu",
    on_trial: OnTrial | None = None,
) -> Tuned:
    """Choose the settings of a row.

    Whoever else tunes the same row by these trials is waited for, and finds them done.

    Args:
        workspace: the data.
        study: has the row, the budget, the minutes, the metric and the split, whose seed 0 is
            taken.
        name: the row.
        settings: of the row as it stands, which trials change.
        trials_path: the SQLite file of all trials.
        device: where to fit.
        on_trial: called before the first trial and after every one.

    Raises:
        NegGenError: If Optuna is missing, or no trial could be finished.
    """
    space = study.space(name)
    if not study.budget or not space:
        return Tuned({})
    optuna = import_optuna()
    task = Task(workspace, study.rows[name], study.split_config(0), 0, device)
    dimensions = distributions(space)
    grid = points(space, study.budget - 1)  # the first trial is the row as it stands
    described_by = task.described_by if learns(study, name, task.plain) else None
    told = [task.identity(settings), written(space), study.metric, described_by]
    trials = _stored(trials_path, name, told)
    this_time = uuid4().hex
    own_base = any(setting.split(".")[0] in ("base", "backbone") for setting in space)
    with FileLock(trials_path.with_name(f"{trials_path.stem}-{_digest([name, *told])}.lock")):
        while True:
            kept = [
                trial
                for trial in trials.get_trials(deepcopy=False)
                if trial.user_attrs.get(PASSING, this_time) == this_time
            ]
            finished, time_is_over = _in_time(kept[: study.budget], 60 * study.minutes)
            stands = any(not trial.params for trial in finished)  # the row as it stands was tried
            tried = [trial.params for trial in finished if trial.params]
            untried = None if grid is None else [point for point in grid if point not in tried]
            left = len(finished) + len(untried or ()) + (not stands)
            count = study.budget if untried is None else min(study.budget, left)
            out_of_time = time_is_over and len(finished) < count
            if on_trial is not None:
                on_trial(len(finished), len(finished) if out_of_time else count)
            if out_of_time or len(finished) == count:
                best = _best(name, finished, space, out_of_time)
                content_hash = task.data.content_hash
                return replace(best, content_hash=content_hash, described_by=described_by)
            if not stands:
                params: dict[str, Any] = {}
            elif untried is not None:
                params = untried[0]
            else:
                params = _drawn(finished, dimensions)
            outcome = _known(finished, params) or _try(
                task,
                with_settings(settings, decoded(params, space)),
                study.metric,
                this_time,
                own_base,
            )
            trials.add_trial(
                optuna.trial.create_trial(
                    params=params,
                    distributions={key: dimensions[key] for key in params},
                    **outcome,
                )
            )


def import_optuna() -> Any:
    """Return Optuna, quiet.

    Raises:
        NegGenError: If it is not installed.
    """
    with from_extra("tune", "Tuning needs Optuna"):
        import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _try(
    task: Task, settings: Mapping[str, Any], metric: str, this_time: str, own_base: bool
) -> dict[str, Any]:
    """Fit and measure; settings that cannot be fitted, say by a diverging loss, fail.

    Memory may be there another time, so a failure for lack of it counts ``this_time`` alone. A base
    takes none of the row's time, whoever fits it first, unless its settings are searched, too.
    """
    from optuna.trial import TrialState

    started = time.monotonic()
    try:
        figures, seconds, of_base = task.validate(settings)
    except (NegGenError, MemoryError, RuntimeError) as error:
        if not (isinstance(error, NegGenError) or lacks_memory(error)):
            raise
        notes: dict[str, Any] = {"error": str(error), "seconds": time.monotonic() - started}
        if lacks_memory(error):
            notes[PASSING] = this_time
        return {"state": TrialState.FAIL, "user_attrs": notes}
    return {"value": figures[metric], "user_attrs": {"seconds": seconds + own_base * of_base}}


def _in_time(trials: list[FrozenTrial], seconds: float) -> tuple[list[FrozenTrial], bool]:
    """Return the trials that begin before so many seconds of trials have passed; 0 is no limit.

    Returns:
        The trials, and whether none may begin after them.
    """
    spent = 0.0
    for number, trial in enumerate(trials):
        if seconds and spent >= seconds:
            return trials[:number], True
        spent += trial.user_attrs["seconds"]
    return trials, bool(seconds) and spent >= seconds


def _drawn(finished: list[FrozenTrial], dimensions: dict[str, Any]) -> dict[str, Any]:
    """Draw the next settings, in memory, so that a trial is in the file only once it is over."""
    sampler = import_optuna().samplers.TPESampler(seed=len(finished), constant_liar=False)
    params: dict[str, Any] = _in_memory(finished, sampler).ask(dimensions).params
    return params


def _known(finished: list[FrozenTrial], params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the outcome of an earlier trial of the same settings, which takes no time now."""
    for trial in finished:
        if trial.params == params:
            notes = {**trial.user_attrs, "seconds": 0.0}
            return {"state": trial.state, "value": trial.value, "user_attrs": notes}
    return None


def _stored(path: Path, name: str, decides: Sequence[Any]) -> Trials:
    """Open the trials of a row; what decides them is in their name, so none can be stale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # others may be about to make the file, too
        trials: Trials = import_optuna().create_study(
            storage=f"sqlite:///{path}",
            study_name=f"{name} {_digest(decides)}",
            direction="maximize",
            load_if_exists=True,
        )
    return trials


def _digest(decides: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


def _in_memory(finished: list[FrozenTrial], sampler: BaseSampler | None = None) -> Trials:
    trials: Trials = import_optuna().create_study(direction="maximize", sampler=sampler)
    trials.add_trials(finished)
    return trials


def _best(
    row: str, finished: list[FrozenTrial], space: Mapping[str, Space], out_of_time: bool
) -> Tuned:
    good = [trial for trial in finished if trial.value is not None]
    if not good:
        raise NegGenError(
            f"All {len(finished)} trials of {row} failed, the first with: "
            f"{finished[0].user_attrs['error']}"
        )
    best = max(good, key=lambda trial: (trial.value, -trial.number))
    return Tuned(
        params=decoded(best.params, space),
        value=best.value,
        trials=len(finished),
        failed=len(finished) - len(good),
        seconds=round(sum(trial.user_attrs["seconds"] for trial in finished), 2),
        out_of_time=out_of_time,
        importance=_importance([trial for trial in good if trial.params]),
    )


def _importance(tried: list[FrozenTrial]) -> dict[str, float]:
    if len(tried) < ENOUGH or len({trial.value for trial in tried}) == 1:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings(action="ignore"):
        return get_param_importances(_in_memory(tried), evaluator=PedAnovaImportanceEvaluator())
