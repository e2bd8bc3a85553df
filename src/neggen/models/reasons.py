"""What speaks most for a recommendation, of all that explains it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

REASONS = 3
"""Key attributes named for an item, at most."""
LEAST_SHARE = 0.05
"""The least part of all that speaks for or against an item that an attribute named for it has."""


@dataclass(frozen=True)
class Reason:
    """A key attribute that speaks for an item, where it stands, and its contribution to a score."""

    value: str
    modality: str
    contribution: float


def strongest_reasons(explained: pl.DataFrame) -> dict[tuple[str, str], tuple[Reason, ...]]:
    """Return what speaks most for each item to each user, by user and item id, strongest first.

    Args:
        explained: what :func:`~neggen.models.explain.explain` returned.
    """
    found: dict[tuple[str, str], list[Reason]] = {}
    for user, item, *reason in (
        explained.filter((pl.col("contribution") > 0) & (pl.col("share") >= LEAST_SHARE))
        .unique(["user_id", "item_id", "value"], keep="first", maintain_order=True)
        .select("user_id", "item_id", "value", "modality", "contribution")
        .iter_rows()
    ):
        found.setdefault((user, item), []).append(Reason(*reason))
    return {pair: tuple(reasons[:REASONS]) for pair, reasons in found.items()}
