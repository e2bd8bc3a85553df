"""MovieLens in the layout of the CSV files: ``ratings.csv`` and ``movies.csv``."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.writers.base import IMAGE_COLUMNS, Writer, unused_items
from neggen.errors import NegGenError


def write_movielens(data: Dataset, folder: Path, name: str) -> list[str]:
    """Write who saw what and when, without ratings, which are not kept, and titles and genres.

    Raises:
        NegGenError: If an id or a time is no whole number, or there are no times.
    """
    del name
    log, items = data.to_frames()
    if data.time is None:
        raise NegGenError("MovieLens has a time for every rating, and these data have none.")
    ids = log.select(userId=_whole_numbers(log["user_id"]), movieId=_whole_numbers(log["item_id"]))
    notes = ["The ratings are empty: they are not kept on import."]
    times = log["timestamp"]
    if times.dtype.is_temporal():
        notes.append("The times of MovieLens are numbers: dates became seconds since 1970.")
        times = times.cast(pl.Int64) // 1_000_000
    elif times.dtype.is_float():
        raise NegGenError("The times of MovieLens are whole numbers of seconds; take parquet.")
    log = ids.with_columns(rating=pl.lit(None, pl.Float64), timestamp=times)
    log.write_csv(folder / "ratings.csv")
    texts = {
        column: items[column] if _has_place(items, column) else pl.lit(None, pl.String)
        for column in ("title", "genres")
    }
    movies = items.select(movieId=_whole_numbers(items["item_id"])).with_columns(**texts)
    movies.with_columns(
        pl.col("title").fill_null(""),
        pl.col("genres").str.replace_all(", ", "|", literal=True).fill_null("(no genres listed)"),
    ).write_csv(folder / "movies.csv")
    others = [
        column
        for column in items.columns
        if column not in ("item_id", *IMAGE_COLUMNS)
        and not (column in texts and _has_place(items, column))
    ]
    if others:
        notes.append(f"MovieLens has no place for {', '.join(others)}.")
    if unused := unused_items(data):
        notes.append(f"{unused:,} items that nobody used are read back with --all-items only.")
    return notes


def _has_place(items: pl.DataFrame, column: str) -> bool:
    return column in items.columns and items[column].dtype == pl.String


def _whole_numbers(ids: pl.Series) -> pl.Series:
    numbers = ids.cast(pl.Int64, strict=False)
    wrong = numbers.is_null() | (numbers.cast(pl.String) != ids)
    if wrong.any():
        raise NegGenError(
            f"The ids of MovieLens are whole numbers, and {ids.filter(wrong)[0]!r} is none; take "
            f"another format."
        )
    return numbers


MOVIELENS = Writer("movielens", frozenset({"time", "attributes", "order"}), write_movielens)
