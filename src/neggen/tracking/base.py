"""What every tracker does: open, take epochs, take figures, close."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from neggen.training.loop import EpochLog


@dataclass
class TrackedRun:
    """The run that a tracker is told about.

    Attributes:
        folder: of the run, ``W/runs/NAME``.
        parameters: what decides it, model, settings and split, by dotted names.
        kept: what the tracker wrote down when it was first told about the run, such as an
            identifier; what it adds is there the next time.
    """

    folder: Path
    parameters: Mapping[str, str | int | float | bool]
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        """The folder of the workspace."""
        return self.folder.resolve().parents[1]


class Tracker(ABC):
    """Tells one service about one run; one that is opened again continues what it has."""

    name: ClassVar[str]
    needs: ClassVar[str]
    """The module that has to be installed."""

    @abstractmethod
    def __init__(self, run: TrackedRun) -> None:
        """Begin, or continue, with the parameters and a link to the folder.

        Raises:
            NegGenError: If the service cannot be used.
        """

    @abstractmethod
    def epoch(self, phase: str, log: EpochLog) -> None:
        """Take an epoch of a phase; one that was taken before is not entered twice."""

    @abstractmethod
    def figures(self, part: str, figures: Mapping[str, float]) -> None:
        """Take what the finished model came to on a part of the data."""

    @abstractmethod
    def close(self, *, finished: bool) -> None:
        """Write what is left; ``finished`` is false where training was interrupted."""


def scalars(log: EpochLog) -> dict[str, float]:
    """Return the figures of an epoch by names that every service takes."""
    loss = {} if log.loss is None else {"loss": log.loss}
    return {**loss, "seconds": log.seconds, **plain("valid", log.valid or {})}


def plain(part: str, figures: Mapping[str, float]) -> dict[str, float]:
    """Return figures of a part by names that every service takes.

    >>> plain("test", {"ndcg@20": 0.5})
    {'test/ndcg_20': 0.5}
    """
    return {f"{part}/{name.replace('@', '_')}": value for name, value in figures.items()}
