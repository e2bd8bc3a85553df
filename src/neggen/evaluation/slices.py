"""How good a ranking is for some items or some users: the tail, new items, users who did little.

A slice of items keeps the ranking as it is and asks for the targets in the slice alone: of these,
how many were found, and how early. The other targets stay in the list and count as misses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

TAIL_SHARE = 0.2
"""Share of the training interactions that the tail makes up."""


def tail_items(item_users: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which items are the tail: the least popular with a fifth of the interactions.

    As in Cremonesi et al. 2010, who cut off a short head by its share of the interactions. Items
    used by equally many users are in or out together, so the tail has at most that share. Items
    without training interactions are no part of it; see :func:`cold_items`.

    Args:
        item_users: how many users used each item in training, ``[items]``.

    Returns:
        bool ``[items]``.

    >>> tail_items(np.array([0, 1, 1, 2, 8])).tolist()
    [False, True, True, False, False]
    """
    interactions = np.bincount(item_users) * np.arange(item_users.max(initial=0) + 1)
    rarer = np.cumsum(interactions) <= TAIL_SHARE * interactions.sum()  # by popularity
    tail: NDArray[np.bool_] = rarer[item_users] & (item_users > 0)
    return tail


def cold_items(item_users: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which items nobody used in training, bool ``[items]``."""
    cold: NDArray[np.bool_] = item_users == 0
    return cold


def inactive_users(activity: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which users are in the third with the fewest training interactions.

    Users with as many as the last of that third belong to it, too.

    Args:
        activity: training interactions of the users that are measured, ``[users]``.

    >>> inactive_users(np.array([3, 9, 3, 7, 3, 8])).tolist()
    [True, False, True, False, True, False]
    """
    if not len(activity):
        return np.zeros(0, dtype=np.bool_)
    last = np.sort(activity)[(len(activity) - 1) // 3]
    chosen: NDArray[np.bool_] = activity <= last
    return chosen


def found_in(
    lists: NDArray[np.integer], target: csr_matrix, items: NDArray[np.bool_], k: int
) -> dict[str, NDArray[np.float64]]:
    """Return recall and NDCG for the targets among some items.

    Args:
        lists: every user's list of internal items, ``[users, at least k where there are as many]``;
            −1 ends a list early.
        target: 0/1 CSR ``[users, all items]``, rows in the order of ``lists``.
        items: bool ``[all items]``, the slice.
        k: the length of the lists that counts.

    Returns:
        ``recall@k`` and ``ndcg@k``, each ``[users]``; NaN for a user without a target in the slice.
    """
    rows = np.repeat(np.arange(target.shape[0]), np.diff(target.indptr))
    wanted = items[target.indices]
    width = target.shape[1]
    pairs = rows[wanted] * width + target.indices[wanted]
    counts = np.bincount(rows[wanted], minlength=target.shape[0])  # [users]
    top = lists[:, :k].astype(np.int64)
    listed = np.where(top >= 0, top + np.arange(len(top))[:, None] * width, -1)
    hits = np.isin(listed, pairs)  # [users, k]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    best = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(counts, k)]
    with np.errstate(invalid="ignore"):
        return {
            f"recall@{k}": hits.sum(1) / counts,
            f"ndcg@{k}": (hits @ discounts[: hits.shape[1]]) / best,
        }
