"""Every setting of neggen as frozen pydantic models, read from and written to TOML.

Nothing here imports torch, so a configuration can be read, checked and printed in milliseconds.
An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neggen.errors import NegGenError, nearest
from neggen.workspace import read_toml


class Config(BaseModel):
    """Base of all configurations: immutable, strict about names, checked on construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values, such as a TOML table.

        Raises:
            NegGenError: For an unknown key (with the nearest known one) or a value out of range.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                name = str(first["loc"][-1])
                hint = nearest(name, cls.model_fields) or (
                    f" Known keys: {', '.join(cls.model_fields)}."
                )
                raise NegGenError(f"'{key}' is not a setting of {cls.__name__}.{hint}") from None
            raise NegGenError(
                f"{cls.__name__}.{key} = {first['input']!r} is not allowed: {first['msg']}."
            ) from None

    def updated(self, **changes: Any) -> Self:
        """Return a copy with ``changes`` applied and everything checked again."""
        return self.build({**self.model_dump(), **changes})


class SplitConfig(Config):
    """How interactions are divided into training, validation and test parts."""

    kind: Literal["random", "leave-last", "time", "cold-items", "given"] = "random"
    """``random``: per user, by the rule of the MMRec toolbox. ``leave-last``: each user's last item
    tests, the one before validates. ``time``: global quantiles of time. ``cold-items``: whole
    items are held out. ``given``: the labels that came with the source."""
    seed: int = 0
    valid_share: float = Field(0.1, gt=0, lt=0.5)
    """Share held out for validation (``time``, ``cold-items``; ``random`` holds out 10%)."""
    test_share: float = Field(0.1, gt=0, lt=0.5)
    """Share held out for the test."""

    @property
    def name(self) -> str:
        """File name of this split inside a workspace, such as ``random-0``."""
        if self.kind in ("random", "cold-items"):
            return f"{self.kind}-{self.seed}"
        return self.kind


class ModelConfig(Config):
    """Settings every model has."""

    seed: int = 0
    """Seeds the initial weights, the order of batches, and the sampled negatives."""
    device: str = "cpu"
    """Where tensors live: ``cpu``, ``cuda`` or ``cuda:N``."""


class PopularityConfig(ModelConfig):
    """Popularity has nothing to set."""


class EASEConfig(ModelConfig):
    """EASE (Steck 2019, arXiv 1905.03375)."""

    regularization: float = Field(200.0, gt=0)
    """The ridge λ added to the diagonal of the Gram matrix."""


class TrainConfig(ModelConfig):
    """Settings of the training loop, shared by every model trained by gradient."""

    dim: int = Field(64, ge=1)
    """Width d of the user and item embeddings."""
    learning_rate: float = Field(1e-3, gt=0)
    batch_size: int = Field(2048, ge=1)
    """Interactions in a step; each brings one sampled negative."""
    regularization: float = Field(1e-3, ge=0)
    """λ of ½λ(‖e_u‖² + ‖e_p‖² + ‖e_n‖²), mean over the batch, on the layer-0 embeddings."""
    epochs: int = Field(1000, ge=1)
    """Passes over the training interactions, at most."""
    patience: int = Field(20, ge=1)
    """Evaluations without a better validation score after which training stops."""
    evaluate_every: int = Field(1, ge=1)
    """Epochs from one validation to the next."""
    metric: str = "recall@20"
    """The validation figure that chooses the weights that are kept."""
    checkpoint_seconds: float = Field(15.0, ge=0)
    """Least time between two checkpoints; an interrupted run resumes from the last one."""


class LightGCNConfig(TrainConfig):
    """LightGCN (He et al. 2020, arXiv 2002.02126)."""

    layers: int = Field(3, ge=1)
    """Propagation steps over the user-item graph."""


class NegGenConfig(TrainConfig):
    """NegGen (arXiv 2501.15183) on a LightGCN base; see :mod:`neggen.models.neggen`."""

    base: LightGCNConfig = LightGCNConfig()
    """Phase 1, the base recommender. Its ``seed``, ``device`` and ``dim`` follow this model's."""


def parse_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Turn ``["alpha=0.01", "base.layers=2"]`` into ``{"alpha": 0.01, "base": {"layers": 2}}``.

    Values are read as TOML; what is not TOML is a string.

    Raises:
        NegGenError: If an entry has no ``=``.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key.strip():
            raise NegGenError(f"--set {setting!r} should read key=value, such as alpha=0.01.")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        *parents, leaf = key.strip().split(".")
        table = values
        for parent in parents:
            table = table.setdefault(parent, {})
        table[leaf] = value
    return values


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it, nested tables included."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both_tables = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both_tables else value  # type: ignore[arg-type]
    return result


def read_config(path: Path) -> dict[str, Any]:
    """Read a recipe file into plain values.

    Raises:
        NegGenError: If the file is missing or not TOML.
    """
    return read_toml(path)
