"""What a writer of one format is, and what it says of all that the format cannot carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from neggen.data.dataset import Dataset

IMAGE_COLUMNS = ("image", "image_sha256")


@dataclass(frozen=True)
class Writer:
    """One format.

    Attributes:
        name: what it is called, such as ``mmrec``.
        carries: which of the keys of :func:`contents` it has a place for; users, items and who
            used what, every format has.
        write: writes a data set into an existing folder, under a name for formats whose files have
            one, and returns sentences on what was changed.
    """

    name: str
    carries: frozenset[str]
    write: Callable[[Dataset, Path, str], list[str]]


def contents(data: Dataset) -> dict[str, str]:
    """Return what there is beside users, items and who used what: a key, and words for it."""
    found = {}
    if data.time is not None:
        found["time"] = "the times"
    if data.given_parts is not None:
        found["parts"] = "the labels of train, valid and test"
    if names := [
        name for name in data.item_table.columns if name not in ("item_id", *IMAGE_COLUMNS)
    ]:
        found["attributes"] = f"the attributes {', '.join(names)}"
    if pictures := data.item_table["image"].count():
        found["pictures"] = f"{pictures:,} pictures"
    for key, given in (("features", data.features), ("graphs", data.graphs)):
        if given:
            found[key] = f"the {key} {', '.join(given)}"
    if data.test_sets:
        found["test sets"] = f"the test sets {', '.join(data.test_sets)}"
    if not _in_order(data.users):
        found["order of users"] = "the order in which users are counted"
    if not _sorted(data):
        found["order"] = "the order of the interactions"
    return found


def not_carried(data: Dataset, writer: Writer) -> list[str]:
    """Return a sentence on what a format has no place for, if there is anything."""
    lost = [words for key, words in contents(data).items() if key not in writer.carries]
    return [f"The format {writer.name} has no place for {'; '.join(lost)}."] if lost else []


def unused_items(data: Dataset) -> int:
    """Return how many items nobody has used."""
    return data.shape[1] - len(np.unique(data.items))


def place_pictures_in(data: Dataset, folder: Path) -> None:
    """Copy the pictures into ``folder``, where nothing else stays."""
    from neggen.data.placing import place_pictures

    if data.item_table["image"].count():
        place_pictures(data, folder)


def as_texts(values: pl.Series) -> pl.Series:
    """Return a column as the items' texts show it: lists with commas between, the rest as text."""
    if isinstance(values.dtype, pl.List | pl.Array):
        inner = values.cast(pl.List(pl.String))
        return inner.list.drop_nulls().list.join(", ")
    if isinstance(values.dtype, pl.Struct):
        return values.struct.json_encode()
    return values.cast(pl.String)


def _in_order(positions: np.ndarray) -> bool:
    """Return whether 0, 1, 2, … first occur in this order."""
    _, first = np.unique(positions, return_index=True)
    return bool((np.diff(first) > 0).all())


def _sorted(data: Dataset) -> bool:
    pairs = data.users.astype(np.int64) * data.shape[1] + data.items
    return bool((np.diff(pairs) > 0).all())
