"""Stock answers: replacements that a model gives to nearly anything."""

from __future__ import annotations

import polars as pl

from neggen.generation.pipeline import Screen
from neggen.generation.records import InvalidAnswer, Record

Stock = frozenset[tuple[str, str]]
"""(modality, replacement in lower case)."""


def stock_replacements(records: pl.LazyFrame) -> Stock:
    """Return the replacements that are given for far too many items."""
    return frozenset()


def without_stock(stock: Stock, screen: Screen | None) -> Screen:
    """Return a screen that also refuses replacements in ``stock``."""

    def judge(record: Record) -> None:
        for replacement in record.replacements:
            if (record.modality, replacement.casefold()) in stock:
                raise InvalidAnswer(
                    "stock answer",
                    f"The replacement {replacement!r} was given for many other items; give one "
                    "that is made for this item.",
                )
        if screen is not None:
            screen(record)

    return judge
