"""What recommendations are worth beside being right: how much of the catalogue, how varied.

All functions look at lists of internal items, ints ``[users, k]``, in which −1 ends a list early.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHUNK_VECTORS = 1 << 22
"""Numbers of item vectors held at once: 16 MB."""


def exposure(lists: NDArray[np.integer], items: int) -> NDArray[np.int64]:
    """Return in how many lists each of the ``items`` appears, int64 ``[items]``."""
    return np.bincount(lists[lists >= 0], minlength=items).astype(np.int64)


def coverage(lists: NDArray[np.integer], items: int) -> float:
    """Return the share of the items that appear in some list.

    >>> coverage(np.array([[0, 1], [0, 2]]), 4)
    0.75
    """
    return float((exposure(lists, items) > 0).mean())


def gini(lists: NDArray[np.integer], items: int) -> float:
    """Return the Gini index of exposure: 0 if every item is shown alike, near 1 if one is always.

    With exposures x_(1) ≤ … ≤ x_(n): G = Σ (2i − n − 1) x_(i) / (n Σ x_(i)) (Fleder and Hosanagar,
    2009). NaN if nothing is shown.

    >>> gini(np.array([[0, 1], [2, 3]]), 4)
    0.0
    >>> gini(np.array([[0], [0]]), 4)
    0.75
    """
    shown = np.sort(exposure(lists, items)).astype(np.float64)
    if not shown.sum():
        return float("nan")
    ranks = np.arange(1, items + 1)
    return float(((2 * ranks - items - 1) * shown).sum() / (items * shown.sum()))


def novelty(lists: NDArray[np.integer], item_users: NDArray[np.int64], users: int) -> float:
    """Return the mean self-information of recommended items, in bits (Zhou et al. 2010).

    Mean of log2(U / n_i), where n_i of U users used item i in training; an item nobody used counts
    as used by one. NaN if nothing is recommended.

    >>> novelty(np.array([[0, 1]]), np.array([8, 2]), 8)
    1.0
    """
    shown = lists[lists >= 0]
    if not len(shown):
        return float("nan")
    return float(np.log2(users / np.maximum(item_users, 1))[shown].mean())


def average_popularity(lists: NDArray[np.integer], item_users: NDArray[np.int64]) -> float:
    """Return how many users the recommended items had in training, the mean over lists of means.

    The average recommendation popularity, ARP (Yin et al. 2012; Abdollahpouri et al. 2019, arXiv
    1901.07555): the lower, the less a recommender repeats what is popular. NaN if nothing is
    recommended.

    >>> average_popularity(np.array([[0, 1], [1, -1]]), np.array([8, 2]))
    3.5
    """
    listed = lists >= 0
    lengths = listed.sum(1)
    sums = (item_users[lists] * listed).sum(1)
    some = lengths > 0
    return float((sums[some] / lengths[some]).mean()) if some.any() else float("nan")


def intra_list_distance(
    lists: NDArray[np.integer], vectors: NDArray[np.float32], known: NDArray[np.bool_]
) -> float:
    """Return the mean over lists of the mean of 1 − cosine over pairs of a list's items.

    For n unit vectors, the sum of cosines over ordered pairs is ‖Σ v‖² − n, so no pair is looked
    at (intra-list similarity, Ziegler et al. 2005).

    Args:
        lists: the recommendations.
        vectors: unit item vectors, ``[items, d]``.
        known: bool ``[items]``; items without a vector are passed over.

    Returns:
        The distance; NaN if no list has two known items.
    """
    distances = []
    size = max(1, CHUNK_VECTORS // max(1, lists.shape[1] * vectors.shape[1]))
    for start in range(0, len(lists), size):
        chosen = lists[start : start + size]
        counts = ((chosen >= 0) & known[chosen]).astype(np.float32)  # [chunk, k]
        total = np.einsum("uk,ukd->ud", counts, vectors[chosen])  # [chunk, d]
        n = counts.sum(1, dtype=np.float64)
        several = n > 1
        cosines = np.square(total[several], dtype=np.float64).sum(1) - n[several]
        distances.append(1 - cosines / (n[several] * (n[several] - 1)))
    every = np.concatenate(distances) if distances else np.empty(0)
    return float(every.mean()) if len(every) else float("nan")
