"""Weights & Biases: a run of the project ``WANDB_PROJECT`` or ``neggen``.

With ``WANDB_MODE=offline`` it is written to ``W/wandb``, for ``wandb sync`` later.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping

from neggen.errors import NegGenError, first_line
from neggen.tracking.base import TrackedRun, Tracker, plain, scalars
from neggen.training.loop import EpochLog


class WandB(Tracker):
    """Writes to Weights & Biases."""

    name = "wandb"
    needs = "wandb"

    def __init__(self, run: TrackedRun) -> None:
        """Begin a run of Weights & Biases, or continue the one that was begun for this folder.

        Raises:
            NegGenError: If nobody is logged in, or the service refuses.
        """
        import wandb

        self._last: dict[str, int] = {}
        if "id" not in run.kept:
            run.kept["id"] = secrets.token_hex(4)
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "neggen"),
                id=run.kept["id"],
                name=run.folder.name,
                dir=run.workspace,
                config={**run.parameters, "run_folder": str(run.folder.resolve())},
                resume="allow",
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            raise NegGenError(
                f"Weights & Biases cannot be used ({first_line(error)}); run wandb login, "
                f"or set WANDB_MODE=offline."
            ) from None

    def epoch(self, phase: str, log: EpochLog) -> None:
        """Log the figures of an epoch, unless the service has them."""
        count = f"{phase}/epoch"
        if phase not in self._last:
            self._run.define_metric(f"{phase}/*", step_metric=count)
            known = self._run.summary.get(count, -1)  # type: ignore[no-untyped-call]
            self._last[phase] = int(known)  # offline nobody can tell: all is written again
        if log.epoch > self._last[phase]:
            figures = {f"{phase}/{name}": value for name, value in scalars(log).items()}
            self._run.log({**figures, count: log.epoch})
            self._last[phase] = log.epoch

    def figures(self, part: str, figures: Mapping[str, float]) -> None:
        """Write the figures of a part to the summary of the run."""
        self._run.summary.update(plain(part, figures))

    def close(self, *, finished: bool) -> None:
        """Send what is left."""
        self._run.finish(exit_code=0 if finished else 1)
