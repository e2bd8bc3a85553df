"""RecBole's atomic files: ``NAME.inter`` and ``NAME.item`` with typed headers."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.writers.base import Writer, as_texts, place_pictures_in, unused_items
from neggen.errors import NegGenError


def write_recbole(data: Dataset, folder: Path, name: str) -> list[str]:
    """Write the tables, tab-separated; pictures lie beside them.

    Raises:
        NegGenError: If there is no interaction.
    """
    if not len(data.users):
        raise NegGenError("RecBole's files have interactions, and these data have none.")
    place_pictures_in(data, folder)
    log, items = data.to_frames()
    notes: list[str] = []
    typed = {"user_id:token": log["user_id"], "item_id:token": log["item_id"]}
    if data.time is not None:
        typed["timestamp:float"] = _seconds(log["timestamp"], notes)
    _write(typed, folder / f"{name}.inter")
    if unused := unused_items(data):
        notes.append(f"{unused:,} items that nobody used are read back with --all-items only.")
    _write(dict(_typed(values, notes) for values in items), folder / f"{name}.item")
    return notes


def _seconds(times: pl.Series, notes: list[str]) -> pl.Series:
    if not times.dtype.is_temporal():
        return times
    notes.append("RecBole's times are numbers: dates became seconds since 1970.")
    return times.cast(pl.Int64) / 1e6


def _typed(values: pl.Series, notes: list[str]) -> tuple[str, pl.Series]:
    """Return a header with a type and the column as it is written."""
    name = values.name
    if not name.strip():
        raise NegGenError("RecBole's columns have names, and one of these items has none.")
    if values.dtype.is_numeric():
        return f"{name}:float", values
    texts = as_texts(values)
    if values.dtype not in (pl.String, pl.Null) or (texts == "").any():
        notes.append(
            f"RecBole has tokens and numbers: {name} will be read back as text, and empty text as "
            f"nothing."
        )
    kind = "token_seq" if (texts.str.contains(r"\s") & (name != "item_id")).any() else "token"
    return f"{name}:{kind}", texts


def _write(columns: dict[str, pl.Series], path: Path) -> None:
    table = pl.DataFrame([values.alias(header) for header, values in columns.items()])
    table.write_csv(path, separator="\t")


RECBOLE = Writer("recbole", frozenset({"time", "attributes", "pictures", "order"}), write_recbole)
