"""An index of the items' vectors for FAISS, exact and, if wanted, approximate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.errors import from_extra
from neggen.models.base import Recommender
from neggen.serving.export.parquet import write_vectors
from neggen.serving.export.scoring import (
    CHECKED_K,
    check_against,
    checked_users,
    ids_of,
    seen_mask,
    vectors_of,
)

HNSW_LINKS = 32
HNSW_BUILD = 200
HNSW_SEARCH = 128
"""The settings of HNSW: links of an item, and candidates while building and searching (Malkov and
Yashunin 2018, arXiv 1603.09320: M, efConstruction, ef)."""


def write_faiss(model: Recommender, folder: Path, *, hnsw: bool = False) -> dict[str, float]:
    """Write ``items.faiss``, an exact inner-product index, and what belongs to it.

    ``items.parquet`` has the id of every position, ``users.parquet`` the vectors to search with.
    The index is read back and must find the same best items as the model.

    Args:
        model: a fitted model whose scores are products of vectors.
        folder: an existing folder.
        hnsw: also write ``items.hnsw.faiss``, which does not look at every item.

    Returns:
        The length ``d`` of a vector, how many users were checked and, of HNSW, its recall@20: the
        share of the exact index's 20 best that it finds.

    Raises:
        NegGenError: If the score is no such product, FAISS is missing, or finds other items.
    """
    with from_extra("export", "The format faiss needs faiss-cpu"):
        import faiss
    users, items = vectors_of(model)
    user_ids, item_ids = ids_of(model)
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)
    faiss.write_index(index, str(folder / "items.faiss"))
    positions = np.arange(len(items), dtype=np.int64)
    pl.DataFrame({"position": positions, "item_id": item_ids}).write_parquet(
        folder / "items.parquet"
    )
    write_vectors(folder / "users.parquet", "user_id", user_ids, users)
    stored = faiss.read_index(str(folder / "items.faiss"))

    def best(batch: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        seen = seen_mask(model, batch)
        # What a user has used may all come first, and is then passed over.
        reach = min(len(items), k + int(seen.sum(axis=1).max(initial=0)))
        _, found = stored.search(users[batch], reach)
        return _unseen(found, seen, k)

    figures: dict[str, float] = {
        "d": items.shape[1],
        "checked users": check_against(model, "FAISS", best),
    }
    if hnsw:
        near = faiss.IndexHNSWFlat(items.shape[1], HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        near.hnsw.efConstruction, near.hnsw.efSearch = HNSW_BUILD, HNSW_SEARCH
        near.add(items)
        faiss.write_index(near, str(folder / "items.hnsw.faiss"))
        figures["hnsw recall@20"] = _recall(near, index, users[checked_users(model)])
    return figures


def _unseen(found: NDArray[np.int64], seen: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """Return the first ``k`` of each row that were not seen, −1 where there are fewer."""
    rows = np.arange(len(found))[:, None]
    new = ~seen[rows, found] & (found >= 0)
    order = np.argsort(~new, axis=1, kind="stable")[:, :k]  # the new ones first, as they came
    kept: NDArray[np.int64] = np.where(new[rows, order], found[rows, order], -1)
    return kept


def _recall(near: Any, exact: Any, queries: NDArray[np.float32]) -> float:
    k = min(CHECKED_K, exact.ntotal)
    (_, found), (_, expected) = near.search(queries, k), exact.search(queries, k)
    return float(np.mean([np.isin(b, a).mean() for a, b in zip(found, expected, strict=True)]))
