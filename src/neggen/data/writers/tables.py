"""Tables of interactions and items as CSV, JSON Lines or Parquet, with pictures in ``images``."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.writers.base import Writer, as_texts, contents, place_pictures_in

CARRIES = frozenset(
    {"time", "parts", "attributes", "pictures", "test sets", "order", "order of users"}
)


def write_tables(data: Dataset, folder: Path, suffix: str) -> list[str]:
    """Write ``interactions``, ``items``, ``test_sets`` and, where it matters, ``users``."""
    log, items = data.to_frames()
    times = [name for name, dtype in log.schema.items() if dtype.is_temporal()]
    if suffix != "parquet":
        log = log.with_columns(pl.col(times).dt.to_string("iso:strict"))
    notes: list[str] = []
    if suffix == "csv":
        items = _as_text(items, notes)
    tables = {"interactions": log, "items": items}
    if "order of users" in contents(data):
        tables["users"] = data.user_ids.to_frame("user_id")
    if not len(log):
        del tables["interactions"]
    for name, pairs in data.test_sets.items():
        (folder / "test_sets").mkdir(exist_ok=True)
        users, used = data.user_ids[pairs[:, 0]], data.item_ids[pairs[:, 1]]
        tables[f"test_sets/{name}"] = pl.DataFrame({"user_id": users, "item_id": used})
    for name, table in tables.items():
        _write(table, folder / f"{name}.{suffix}")
    place_pictures_in(data, folder / "images")
    return notes


def _write(table: pl.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.write_parquet(path)
    elif path.suffix == ".csv":
        table.write_csv(path, quote_style="non_numeric")
    else:
        table.write_ndjson(path)


def _as_text(items: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Return items whose attributes are text, noting what is read back otherwise than it was."""
    texts = items.with_columns(as_texts(values).fill_null("") for values in items)
    own = [name for name in items.columns if name != "image"]
    changed = [name for name in own if items[name].dtype != pl.String or items[name].has_nulls()]
    if changed:
        notes.append(
            f"CSV holds text only: {', '.join(changed)} will be read back as text, with empty text "
            f"where there was nothing; JSONL and Parquet keep them."
        )
    return texts


CSV = Writer("csv", CARRIES, lambda data, folder, name: write_tables(data, folder, "csv"))
JSONL = Writer("jsonl", CARRIES, lambda data, folder, name: write_tables(data, folder, "jsonl"))
PARQUET = Writer(
    "parquet", CARRIES, lambda data, folder, name: write_tables(data, folder, "parquet")
)
