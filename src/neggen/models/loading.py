"""A saved model, whichever it is."""

from __future__ import annotations

from pathlib import Path

from neggen.errors import NegGenError
from neggen.models import model_class
from neggen.models.base import Recommender
from neggen.workspace import read_toml


def load(folder: str | Path, *, device: str = "cpu") -> Recommender:
    """Read a model that ``save`` wrote: in its folder, a run's, or one for a model hub.

    Raises:
        NegGenError: If the folder holds no model, one of a class that is not installed, or a
            damaged one.
    """
    folder = Path(folder)
    if (folder / "run.toml").is_file():
        folder = folder / "model"
    path = folder / "config.toml"
    if not path.is_file():
        raise NegGenError(
            f"{folder} holds no model (it has no config.toml); name a run, such as "
            f"W/runs/neggen-random-0, or what save() or export wrote."
        )
    name = read_toml(path).get("model")
    if not isinstance(name, str):
        raise NegGenError(f"{path} does not say which model it is of; save the model again.")
    return model_class(name).load(folder, device=device)
