"""Runs followed by trackers, which ``RUN/tracking.toml`` remembers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from neggen.errors import not_installed
from neggen.models.base import OnPhaseEpoch
from neggen.overrides import flat
from neggen.runs import Run
from neggen.tracking import TRACKERS
from neggen.tracking.base import TrackedRun, Tracker
from neggen.training.loop import EpochLog
from neggen.workspace import read_toml, write_toml


@contextmanager
def following(
    names: Sequence[str], folder: Path, parameters: Mapping[str, Any]
) -> Iterator[OnPhaseEpoch]:
    """Tell trackers about the training of a run; yields the callback for its epochs.

    They are opened when there is something to tell, and get the best validation figures at the
    end. A run that was finished before is told as a whole.

    Args:
        names: keys of :data:`neggen.tracking.TRACKERS`.
        folder: of the run.
        parameters: what decides the run, nested tables included.

    Raises:
        NegGenError: If a tracker is unknown, not installed, or cannot be used.
    """
    classes = [_installed(name) for name in dict.fromkeys(names)]
    trackers: list[Tracker] = []

    def tell(phase: str, log: EpochLog) -> None:
        if classes and not trackers:
            _open(trackers, classes, folder, parameters)
        for tracker in trackers:
            tracker.epoch(phase, log)

    finished = False
    try:
        yield tell
        if classes:
            run = Run.open(folder)
            if not trackers:
                _open(trackers, classes, folder, parameters)
                for phase, logs in run.history.items():
                    for log in logs:
                        tell(phase, EpochLog(**log))
            for tracker in trackers:
                tracker.figures("valid", run.best_validation)
            finished = True
    finally:
        _close(trackers, finished=finished)


def tell_figures(run: Run, results: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Give figures by part to the trackers that follow a run; return the names of who has them.

    Raises:
        NegGenError: If one is not installed any more, or cannot be used.
    """
    names = list(_kept(run.folder))
    manifest = run.manifest
    parameters = {key: manifest[key] for key in ("model", "settings", "split")}
    trackers: list[Tracker] = []
    try:
        _open(trackers, [_installed(name) for name in names], run.folder, parameters)
        for tracker in trackers:
            for part, figures in results.items():
                tracker.figures(part, figures)
    finally:
        closed = _close(trackers, finished=True)  # as the training was
    return closed


def _open(
    trackers: list[Tracker],
    classes: Sequence[type[Tracker]],
    folder: Path,
    parameters: Mapping[str, Any],
) -> None:
    """Open trackers one by one, so that those that are open are known if one cannot be."""
    kept = _kept(folder)
    for cls in classes:
        followed = TrackedRun(folder, _plain(parameters), kept.setdefault(cls.name, {}))
        trackers.append(cls(followed))
        write_toml(folder / "tracking.toml", kept)


def _close(trackers: Sequence[Tracker], *, finished: bool) -> list[str]:
    """Close trackers, whatever becomes of the others; return the names of those that took all."""
    closed = []
    for tracker in trackers:
        try:
            tracker.close(finished=finished)
            closed.append(tracker.name)
        except Exception as error:
            # Not raised: what the training itself ended with must not be lost for it.
            warnings.warn(f"{tracker.name} may lack the end of this run: {error}", stacklevel=3)
    return closed


def _kept(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / "tracking.toml"
    return read_toml(path) if path.is_file() else {}


def _installed(name: str) -> type[Tracker]:
    cls = TRACKERS.find(name)
    if find_spec(cls.needs) is None:
        raise not_installed("track", f"Tracking by {name} needs the package {cls.needs}")
    return cls


def _plain(settings: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return settings by dotted name; what is no plain value as text."""
    return {
        name: value if isinstance(value, (bool, int, float)) else str(value)
        for name, value in flat(settings)
    }
