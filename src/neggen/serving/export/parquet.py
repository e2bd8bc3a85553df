"""Vectors of users and items as Parquet, under the ids of your own data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.models.base import Recommender
from neggen.serving.export.scoring import ids_of, vectors_of


def write_parquet(model: Recommender, folder: Path) -> dict[str, int]:
    """Write ``users.parquet`` and ``items.parquet``: an id and a ``vector``, rows in model order.

    The dot product of a user's and an item's vector is the model's score.

    Returns:
        The length ``d`` of a vector.

    Raises:
        NegGenError: If the model's score is no such product.
    """
    users, items = vectors_of(model)
    user_ids, item_ids = ids_of(model)
    write_vectors(folder / "users.parquet", "user_id", user_ids, users)
    write_vectors(folder / "items.parquet", "item_id", item_ids, items)
    return {"d": items.shape[1]}


def write_vectors(path: Path, name: str, ids: pl.Series, vectors: NDArray[np.float32]) -> None:
    """Write ids and vectors ``[ids, d]`` as the columns ``name`` and ``vector`` (a list)."""
    shape = pl.Array(pl.Float32, vectors.shape[1])
    pl.DataFrame({name: ids, "vector": pl.Series(vectors, dtype=shape)}).write_parquet(path)
