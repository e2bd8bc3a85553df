"""One hash over everything that was imported, so that what is made from it can tell it changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset

ROWS_AT_ONCE = 1 << 16
"""Rows of a table that are written as JSON at once."""


def data_hash(data: Dataset) -> str:
    """Return the hash of all that was imported; see ``Dataset.content_hash``."""
    arrays: dict[str, NDArray[Any]] = {"users": data.users, "items": data.items}
    if data.time is not None:
        arrays["time"] = data.time
    if data.given_parts is not None:
        arrays["part"] = data.given_parts
    for kind in (data.features, data.graphs):
        for modality, given in sorted(kind.items()):
            arrays |= {f"{modality} {part}": array for part, array in vars(given).items()}
    for name, pairs in sorted(data.test_sets.items()):
        arrays[f"test set {name}"] = pairs.astype(np.int32, copy=False)
    users = pl.DataFrame({"user_id": data.user_ids})
    return content_hash({"items": data.item_table, "users": users}, arrays)


def content_hash(tables: Mapping[str, pl.DataFrame], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of named tables and arrays: names, types, shapes and values."""
    content = hashlib.sha256()
    for name, table in tables.items():
        content.update(f"{name} {table.shape}".encode())
        for text in _json(table):
            content.update(text.encode())
    for name, array in arrays.items():
        content.update(f"{name} {array.dtype.str} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return content.hexdigest()


def _json(table: pl.DataFrame) -> Iterator[str]:
    """Yield ``table.write_json()`` in pieces."""
    yield "["
    for start in range(0, len(table), ROWS_AT_ONCE):
        yield "," * (start > 0) + table.slice(start, ROWS_AT_ONCE).write_json()[1:-1]
    yield "]"
