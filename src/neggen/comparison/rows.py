"""What a study says of its rows and sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from neggen.comparison.space import Space
from neggen.config import Config

Negatives = Literal[
    "generated", "shuffled", "none", "other-item", "random-slots", "catalog-generator"
]
"""Which negatives a row learns from; see :mod:`neggen.comparison.variants`."""


class Row(Config):
    """A model with its settings, or a variant of one: a row of the table."""

    model: str
    """A key of :data:`neggen.models.MODELS`."""
    settings: Mapping[str, Any] = Field(default_factory=dict)
    """Changes to the model's defaults; tuning leaves them be unless ``search`` names them."""
    search: Mapping[str, Space] | None = None
    """Where tuning looks, by setting such as ``base.layers``; None takes the usual space of the
    model, its sampler and its loss, without what ``settings`` set; an empty table tunes nothing."""
    same_search_as: str | None = None
    """Another row of the same model whose tuning, settings and base this one takes over, so that it
    differs in what it says itself."""
    base: str | None = None
    """Another row whose model and chosen settings NegGen starts from."""
    against: str | None = None
    """The row that this one is tested against; None for the study's reference."""
    negatives: Negatives = "generated"
    """Which negatives it learns from."""
    modality: Literal["image", "text", "own"] | None = None
    """The only modality of descriptions it sees, beside the items' own texts; ``own`` for these
    alone, None for all. Where the workspace has one modality, rows of one are left out."""


class Sweep(Config):
    """A row trained with one setting at several values, everything else as chosen for the row."""

    row: str
    """The row."""
    values: tuple[Any, ...] = Field(min_length=2)
    """The values, in order."""
    setting: str | None = None
    """The setting, such as ``base.layers``; None for the name of the sweep."""
    seeds: int | None = Field(None, ge=1)
    """How many seeds; None for as many as the study has."""
