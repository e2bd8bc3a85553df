"""Training told to TensorBoard, MLflow or Weights & Biases: one file each, one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neggen.registry import Registry

if TYPE_CHECKING:
    from neggen.tracking.base import Tracker

TRACKERS: Registry[Tracker] = Registry(
    "tracker",
    "neggen.trackers",
    {
        "tensorboard": "neggen.tracking.tensorboard:TensorBoard",
        "mlflow": "neggen.tracking.mlflow:MLflow",
        "wandb": "neggen.tracking.wandb:WandB",
    },
)
"""The trackers by their names on the command line."""
