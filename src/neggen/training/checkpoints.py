"""The checkpoints of a training: the newest ones are kept, and the newest sound one goes on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from torch import Tensor

from neggen.errors import NegGenError
from neggen.training.checkpoint import load_tensors, save_tensors


def kept_checkpoints(path: Path) -> list[Path]:
    """Return the checkpoints that there are, newest first: ``x.ext``, ``x.1.ext``, ``x.2.ext``."""
    older = {
        int(number): other
        for other in path.parent.glob(f"{path.stem}.*{path.suffix}")
        if (number := other.stem.removeprefix(f"{path.stem}.")).isdecimal()
    }
    return [*([path] if path.is_file() else []), *(older[number] for number in sorted(older))]


def save_checkpoint(
    path: Path, tensors: dict[str, Tensor], meta: dict[str, Any], keep: int
) -> None:
    """Write the newest checkpoint and keep ``keep`` in all; a kill leaves one that is sound."""
    older = list(enumerate(kept_checkpoints(path)[: keep - 1], start=1))
    for number, each in reversed(older):  # or one would take the place of an older one
        each.replace(path.with_name(f"{path.stem}.{number}{path.suffix}"))
    save_tensors(path, tensors, meta)
    for stale in kept_checkpoints(path)[keep:]:
        stale.unlink()


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the newest checkpoint that is sound; damaged ones before it are deleted with a warning.

    Raises:
        NegGenError: If all are damaged, or there is none.
    """
    *newer, last = kept_checkpoints(path) or [path]
    for each in newer:
        try:
            return load_tensors(each)
        except NegGenError as error:
            # Or the next checkpoint would push out a sound one and keep this.
            each.unlink(missing_ok=True)
            warnings.warn(f"{error} Training goes on from the one before.", stacklevel=2)
    return load_tensors(last)
