"""Where a fit keeps its checkpoints, and whom it tells about progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from neggen.training.loop import EpochLog, OnEpoch

OnPhaseEpoch = Callable[[str, EpochLog], None]
"""Called with the name of a phase of training and the log of one of its epochs."""


@dataclass
class FitContext:
    """Where a fit keeps its checkpoints and whom it tells about progress.

    Attributes:
        checkpoint_dir: folder for checkpoints; None keeps nothing and cannot resume.
        on_epoch: called after every epoch with the phase's name and its log.
    """

    checkpoint_dir: Path | None = None
    on_epoch: OnPhaseEpoch | None = None

    def checkpoint(self, phase: str) -> Path | None:
        """The checkpoint file of a phase of training."""
        return self.checkpoint_dir / f"{phase}.safetensors" if self.checkpoint_dir else None

    def reporter(self, phase: str) -> OnEpoch | None:
        """The callback for the epochs of a phase."""
        return None if self.on_epoch is None else partial(self.on_epoch, phase)
