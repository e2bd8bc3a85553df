"""From external ids to positions and sparse matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neggen.errors import NegGenError, nearest

MOST_COMPARED = 50_000
"""Ids up to which a mistyped one is compared with all of them."""
ROWS_AT_ONCE = 1 << 22
"""Rows that are joined at once: what a join holds meanwhile is several times its input."""


def positions(ids: pl.Series, vocabulary: pl.Series) -> NDArray[np.int32]:
    """Return where each id stands in ``vocabulary``, or -1, int32 ``[ids]``."""
    index = pl.DataFrame({"id": vocabulary, "position": np.arange(len(vocabulary), dtype=np.int32)})
    found = np.empty(len(ids), dtype=np.int32)
    for start in range(0, len(ids), ROWS_AT_ONCE):
        rows = ids.slice(start, ROWS_AT_ONCE).to_frame("id")
        joined = rows.join(index, on="id", how="left", maintain_order="left")
        found[start : start + len(rows)] = joined["position"].fill_null(-1)
    return found


def incidence(
    users: NDArray[np.int32], items: NDArray[np.int32], shape: tuple[int, int]
) -> csr_matrix:
    """Return the pairs as a 0/1 CSR matrix of ``shape`` ``(users, items)``, float32."""
    ones = np.ones(len(users), dtype=np.float32)
    matrix = csr_matrix((ones, (users, items)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def moved(old_positions: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Return the new position of each of ``size`` old ones, -1 for those that are not kept."""
    new = np.full(size, -1, dtype=np.int32)
    new[old_positions] = np.arange(len(old_positions), dtype=np.int32)
    return new


def core(users: NDArray[np.int32], items: NDArray[np.int32], k: int) -> NDArray[np.bool_]:
    """Return which interactions are in the ``k``-core, bool ``[interactions]``.

    The core is the largest set in which every user and every item has at least ``k``.
    """
    keep = np.ones(len(users), dtype=bool)
    while True:
        per_user = np.bincount(users[keep], minlength=int(users.max(initial=0)) + 1)
        per_item = np.bincount(items[keep], minlength=int(items.max(initial=0)) + 1)
        enough = keep & (per_user[users] >= k) & (per_item[items] >= k)
        if enough.sum() == keep.sum():
            return keep
        keep = enough


def index_of(ids: Iterable[str], vocabulary: Mapping[str, int], what: str) -> NDArray[np.int64]:
    """Translate external ids to internal indices, ``[ids]``.

    Raises:
        NegGenError: For an id that is not in the vocabulary, naming it and the nearest one; or if
            ``ids`` is a single string.
    """
    if isinstance(ids, str):
        raise NegGenError(f"The {what}s are one string, '{ids}'; give a list of {what} ids.")
    positions = []
    for name in ids:
        position = vocabulary.get(str(name))
        if position is None:
            # Looking for the nearest of millions would take longer than the user waits.
            hint = nearest(str(name), vocabulary) if len(vocabulary) <= MOST_COMPARED else ""
            hint = hint or f" Ids of {what}s look like '{next(iter(vocabulary), '')}'."
            raise NegGenError(f"There is no {what} '{name}'.{hint}")
        positions.append(position)
    return np.asarray(positions, dtype=np.int64)
