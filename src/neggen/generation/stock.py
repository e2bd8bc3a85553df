"""Stock replacements: phrases that one catalogue's records put in the place of almost anything."""

from __future__ import annotations

import polars as pl

from neggen.generation.dialogue import Screen
from neggen.generation.records import InvalidAnswer, Record

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
    slots = (
        records.lazy()
        .select("item_id", "modality", "values", "replacements")
        .explode("values", "replacements")
        .with_columns(pl.col("values", "replacements").str.to_lowercase())
    )
    phrase = ["modality", "replacements"]
    # Nearly all phrases are rare; setting them aside in a stream keeps a large catalogue's small.
    counts = slots.group_by(phrase).len().filter(pl.col("len") >= LEAST_ITEMS).select(phrase)
    frequent = counts.collect(engine="streaming").lazy()
    items = records.lazy().group_by("modality").agg(of=pl.col("item_id").n_unique())
    described = (
        slots.select("item_id", "modality", replacements="values")
        .join(frequent, on=phrase, how="semi")
        .group_by(phrase)
        .agg(own=pl.col("item_id").n_unique())
    )
    stock = (
        slots.join(frequent, on=phrase, how="semi")
        .group_by(phrase)
        .agg(used=pl.col("item_id").n_unique(), replaced=pl.col("values").n_unique())
        .join(items, on="modality")
        .join(described, on=phrase, how="left")
        .filter(
            pl.col("replacements").is_not_null(),
            pl.col("used") >= LEAST_ITEMS,
            pl.col("used") >= LEAST_SHARE * pl.col("of"),
            pl.col("replaced") >= LEAST_REPLACED,
            pl.col("used") >= TIMES_A_VALUE * pl.col("own").fill_null(0),
        )
        .select(phrase)
        .collect(engine="streaming")
    )
    return frozenset(stock.iter_rows())


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
