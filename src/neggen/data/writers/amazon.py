"""Amazon Reviews in the layout of 2023: ``NAME.jsonl.gz`` and ``meta_NAME.jsonl.gz``."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.writers.base import IMAGE_COLUMNS, Writer, unused_items
from neggen.errors import NegGenError

TEXTS = {
    "title": "title",
    "brand": "store",
    "description": "description",
    "features": "features",
    "categories": "categories",
}
"""Our columns, and what the files of 2023 call them."""
LISTS = ("description", "features", "categories")


def write_amazon(data: Dataset, folder: Path, name: str) -> list[str]:
    """Write who reviewed what, without ratings, which are not kept, and the items' metadata.

    Raises:
        NegGenError: If there is no interaction, or times are no whole numbers.
    """
    if not len(data.users):
        raise NegGenError("Reviews are interactions, and these data have none.")
    name = re.sub(r"^(meta_|reviews_)+|(_5)+$", "", name) or "data"  # what other files are called
    log, items = data.to_frames()
    notes = ["The reviews have no rating: ratings are not kept on import."]
    if data.time is not None:
        log = log.with_columns(timestamp=_milliseconds(log["timestamp"], notes))
    log = log.rename({"item_id": "parent_asin"})
    others = [
        column
        for column in items.columns
        if column not in ("item_id", *IMAGE_COLUMNS) and not _has_place(items[column])
    ]
    if others:
        notes.append(f"The metadata have no place for {', '.join(others)}.")
    if unused := unused_items(data):
        notes.append(f"{unused:,} items that nobody used are read back with --all-items only.")
    _write(log.drop("part", strict=False).iter_rows(named=True), folder / f"{name}.jsonl.gz")
    known = items.select("item_id", *(c for c in items.columns if _has_place(items[c])))
    known = known.with_columns(pl.col("^price$").cast(pl.Float64))
    metadata = (_record(row) for row in known.iter_rows(named=True))
    _write(metadata, folder / f"meta_{name}.jsonl.gz")
    return notes


def _has_place(values: pl.Series) -> bool:
    if values.name == "price":
        return values.dtype.is_numeric()
    return values.name in TEXTS and values.dtype == pl.String


def _milliseconds(times: pl.Series, notes: list[str]) -> pl.Series:
    if times.dtype.is_temporal():
        notes.append("The times of reviews are numbers: dates became milliseconds since 1970.")
        return times.cast(pl.Int64) // 1000
    if times.dtype.is_float() and (times != times.floor()).any():
        raise NegGenError(
            "The times of reviews are whole numbers, and these are not; take parquet."
        )
    return times.cast(pl.Int64)


def _record(row: dict[str, Any]) -> dict[str, Any]:
    record = {"parent_asin": row["item_id"]}
    for column, value in row.items():
        if value is not None and column == "price":
            record["price"] = value
        elif value is not None and column in TEXTS:
            record[TEXTS[column]] = [value] if column in LISTS else value
    return record


def _write(rows: Iterator[dict[str, Any]], path: Path) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


AMAZON = Writer("amazon", frozenset({"time", "attributes", "order"}), write_amazon)
