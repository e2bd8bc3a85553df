"""One hash over everything that was imported, so that what is made from it can tell it changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


def content_hash(tables: Mapping[str, pl.DataFrame], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of named tables and arrays: names, types, shapes and values."""
    content = hashlib.sha256()
    for name, table in tables.items():
        content.update(f"{name} {table.shape}".encode() + table.write_json().encode())
    for name, array in arrays.items():
        content.update(f"{name} {array.dtype.str} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
