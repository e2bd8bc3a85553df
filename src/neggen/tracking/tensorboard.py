"""TensorBoard: event files in ``RUN/tensorboard``, one folder a phase and one for the figures.

tensorboard --logdir W/runs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from neggen.tracking.base import TrackedRun, Tracker, plain, scalars
from neggen.training.loop import EpochLog

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(Tracker):
    """Writes TensorBoard's event files."""

    name = "tensorboard"
    needs = "tensorboard"

    def __init__(self, run: TrackedRun) -> None:
        """Begin, or continue, the event files in the run's folder."""
        from torch.utils.tensorboard import SummaryWriter

        self._folder = run.folder / "tensorboard"
        self._phases: dict[str, SummaryWriter] = {}
        if not (self._folder / "figures").is_dir():
            about = {"run_folder": str(run.folder.resolve()), **run.parameters}
            with SummaryWriter(self._folder / "figures") as writer:
                writer.add_text("run", "  \n".join(f"{key} = {about[key]}" for key in about))

    def epoch(self, phase: str, log: EpochLog) -> None:
        """Write the figures of an epoch."""
        from torch.utils.tensorboard import SummaryWriter

        if phase not in self._phases:
            # What was written after the checkpoint that training goes on from is set aside.
            self._phases[phase] = SummaryWriter(self._folder / phase, purge_step=log.epoch)
        for name, value in scalars(log).items():
            self._phases[phase].add_scalar(name, value, log.epoch)

    def figures(self, part: str, figures: Mapping[str, float]) -> None:
        """Write the figures of a part."""
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(self._folder / "figures") as writer:
            for name, value in plain(part, figures).items():
                writer.add_scalar(name, value)

    def close(self, *, finished: bool) -> None:
        """Write what is left."""
        for writer in self._phases.values():
            writer.close()
