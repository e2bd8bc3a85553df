"""A recipe: what to train, on which split, with which seed and settings, as one TOML file.

::

    model = "neggen"
    split = "random"
    seed = 1

    [settings]
    contrast = 0.5
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from neggen.config import DRAWN_SPLITS, Config, MeasuredSplit, SplitConfig
from neggen.errors import NegGenError
from neggen.overrides import merged
from neggen.workspace import read_toml


class Divided(Config):
    """What is measured on a division of a workspace's interactions."""

    split: MeasuredSplit | None = None
    """How interactions are divided; None takes the source's labels where it has some, else random
    parts."""
    valid_share: float | None = Field(None, gt=0, lt=0.5)
    """Share held out for validation, where the split leaves that open; None takes the usual one."""
    test_share: float | None = Field(None, gt=0, lt=0.5)
    """Share held out for the test; likewise."""

    def division(self, seed: int, *, labeled: bool = False) -> SplitConfig:
        """Return the split of a seed; one that is not drawn is the same for all.

        Args:
            seed: seeds the split.
            labeled: whether the data came with a split of their own.

        Raises:
            NegGenError: If there are shares and the split has a rule of its own for them.
        """
        kind = self.split or ("given" if labeled else "random")
        shares = {"valid_share": self.valid_share, "test_share": self.test_share}
        given = {name: share for name, share in shares.items() if share is not None}
        return SplitConfig.build(
            {"kind": kind, "seed": seed if kind in DRAWN_SPLITS else 0, **given}
        )


class Recipe(Divided):
    """Everything that decides a training run on a workspace."""

    model: str = "neggen"
    """A key of :data:`neggen.models.MODELS`."""
    seed: int = Field(0, ge=0)
    """Seeds the training, and the split unless ``split_seed`` is given."""
    split_seed: int | None = Field(None, ge=0)
    """Seeds the split alone."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Changes to the model's default settings."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a recipe file.

        Raises:
            NegGenError: If the file is missing, not TOML, or has an unknown key.
        """
        try:
            return cls.build(read_toml(path))
        except NegGenError as error:
            raise NegGenError(f"The recipe {path} cannot be used: {error}") from None

    def with_changes(self, settings: Mapping[str, Any], **changes: Any) -> Self:
        """Return a copy with ``settings`` laid over its own and every change that is not None."""
        given = {name: value for name, value in changes.items() if value is not None}
        return self.updated(**given, settings=merged(self.settings, settings))

    def split_config(self, labeled: bool) -> SplitConfig:
        """Return the split, ``labeled`` saying whether the data came with one."""
        return self.division(
            self.seed if self.split_seed is None else self.split_seed, labeled=labeled
        )

    @property
    def model_settings(self) -> dict[str, Any]:
        """The settings of the model, its seed included."""
        return {"seed": self.seed, **self.settings}
