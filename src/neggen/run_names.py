"""What the folders of runs are called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from neggen.config import DRAWN_SPLITS, ModelConfig, SplitConfig
from neggen.errors import NegGenError
from neggen.models import model_class


def run_name(model_name: str, config: ModelConfig, split: SplitConfig) -> str:
    """Return the usual folder name: model and split, then seed and changed settings if need be."""
    name = f"{model_name}-{split.name}"
    if split.kind not in DRAWN_SPLITS or config.seed != split.seed:
        name += f"-seed{config.seed}"
    usual = type(config)(seed=config.seed).identity()
    if config.identity() != usual:
        name += f"-{hashlib.sha256(repr(config.identity()).encode()).hexdigest()[:6]}"
    return name


def folder_name(name: str) -> str:
    """Return the name a run is given.

    Raises:
        NegGenError: If no folder can be called that.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise NegGenError(
            f"{name!r} cannot be the name of a run; use letters, digits, '-', '_' and '.'."
        )
    return name


def usual_name(manifest: Mapping[str, Any]) -> str:
    """Return the folder name that the run of a manifest has unless it was given another."""
    config = model_class(manifest["model"]).config_class.build(manifest["settings"])
    return run_name(manifest["model"], config, SplitConfig.build(manifest["split"]))
