"""The hash is taken in pieces, and is that of the whole."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from neggen.data import fingerprint
from neggen.data.fingerprint import content_hash

TABLES = {
    "items": pl.DataFrame({"item_id": ["a", "b", "ç", 'd"'], "tags": [["x"], [], None, ["y"]]}),
    "users": pl.DataFrame({"user_id": [f"u{number}" for number in range(9)]}),
    "nobody": pl.DataFrame({"user_id": []}),
}
ARRAYS: dict[str, NDArray[Any]] = {
    "users": np.arange(5, dtype=np.int32),
    "dates": np.array(["2020-01-01", "2021-05-06"], dtype="datetime64[us]"),
    "mask": np.array([True, False]),
    "none": np.zeros((0, 3), dtype=np.float32),
    "every other": np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2],
}


@pytest.mark.parametrize("rows", [1, 2, 4, 100])
def test_pieces_give_the_hash_of_the_whole(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "ROWS_AT_ONCE", rows)
    whole = hashlib.sha256()
    for name, table in TABLES.items():
        whole.update(f"{name} {table.shape}".encode() + table.write_json().encode())
    for name, array in ARRAYS.items():
        whole.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    assert content_hash(TABLES, ARRAYS) == whole.hexdigest()
