"""Stock replacements: phrases that one catalogue's records put in the place of almost anything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.generation.dialogue import Screen
from neggen.generation.records import InvalidAnswer, Record

RECORDS_TOGETHER = 8192
LEAST_ITEMS = 10
LEAST_SHARE = 0.02
"""Of a modality's items; a phrase used for fewer is no habit."""
LEAST_REPLACED = 20
"""Different values it replaces. A real value replaces others of its own kind, and those are few:
at most 14 for phrases this frequent, in three catalogues completed with their own values."""
TIMES_A_VALUE = 5
"""How many more items have it as a replacement than as their own value: in a catalogue of colors
"blue" replaces many, and describes many too."""


def stock_replacements(records: pl.DataFrame | pl.LazyFrame) -> frozenset[tuple[str, str]]:
    """Return the (modality, replacement) that say nothing because they stand for everything.

    A replacement is stock if it is used for at least ``max(10, 2 %)`` of the items of a modality,
    in the place of at least 20 different values, and for 5 times as many items as it is a value of.
    So a catalogue of fewer than about 20 items has none.

    Args:
        records: with ``item_id``, ``modality``, ``values`` and ``replacements``; several
            completions of an item count once.

    Returns:
        Replacements in lower case, ``str.to_lowercase`` of polars.
    """
    lazy = records.lazy().select("item_id", "modality", "values", "replacements")
    # Nearly all phrases are rare: their hashes tell so, and only the rest is looked at.
    hashes: list[NDArray[np.uint64]] = []
    items: list[pl.DataFrame] = []
    for slots in _slots(lazy):
        hashes.append(slots.select(_hash("replacements")).to_series().to_numpy())
        items.append(slots.select("modality", pl.col("item_id").hash()).unique())
    distinct, counts = np.unique(
        np.concatenate([*hashes, np.empty(0, dtype=np.uint64)]), return_counts=True
    )
    if not (counts >= LEAST_ITEMS).any():
        return frozenset()
    frequent = pl.Series(distinct[counts >= LEAST_ITEMS], dtype=pl.UInt64).implode()
    slots = pl.concat(
        slots.filter(_hash("replacements").is_in(frequent) | _hash("values").is_in(frequent))
        for slots in _slots(lazy)
    )
    phrase = ["modality", "replacements"]
    different_items = pl.col("item_id").n_unique()
    described = slots.group_by("modality", replacements="values").agg(own=different_items)
    stock = (
        slots.group_by(phrase)
        .agg(used=different_items, replaced=pl.col("values").n_unique())
        .join(described, on=phrase, how="left")
        .join(pl.concat(items).group_by("modality").agg(of=different_items), on="modality")
        .filter(
            pl.col("used") >= LEAST_ITEMS,
            pl.col("used") >= LEAST_SHARE * pl.col("of"),
            pl.col("replaced") >= LEAST_REPLACED,
            pl.col("used") >= TIMES_A_VALUE * pl.col("own").fill_null(0),
        )
    )
    return frozenset(stock.select(phrase).iter_rows())


def _slots(records: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield one row a slot, in lower case, some thousand records at a time."""
    start = 0
    while not (chunk := records.slice(start, RECORDS_TOGETHER).collect()).is_empty():
        start += len(chunk)
        yield (
            chunk.explode("values", "replacements")
            .with_columns(pl.col("values", "replacements").str.to_lowercase())
            .drop_nulls()
        )


def _hash(column: str) -> pl.Expr:
    return pl.struct("modality", pl.col(column).alias("phrase")).hash()


def without_stock(stock: frozenset[tuple[str, str]], screen: Screen | None) -> Screen:
    """Return a screen that also refuses replacements in ``stock``."""

    def judge(record: Record) -> None:
        for replacement in record.replacements:
            if (record.modality, replacement.lower()) in stock:
                raise InvalidAnswer(
                    "stock answer",
                    f"The replacement {replacement!r} was given for many other items; give one "
                    "that is made for this item.",
                )
        if screen is not None:
            screen(record)

    return judge
