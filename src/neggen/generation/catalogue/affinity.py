"""How much behavior follows a value: co-consumption lift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

MOST_USERS = 5000
PRIOR_PAIRS = 20.0
"""Pairs at lift 1 that every count starts with, so that rare values claim little."""


def co_consumption_lift(
    train: csr_matrix, membership: csr_matrix, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return how much more often two values meet in one user's items than by chance.

    For a random pair of *different* items of one user, lift[a, b] = P(first has a, second has b) /
    (P(a) P(b)), shrunk towards 1. A user with n items has n(n-1) pairs, each weighted 1/n, so that
    heavy users do not decide alone. The diagonal says how much a value decides preference: far over
    1, who uses one item with it uses others with it.

    Args:
        train: training interactions, 0/1 CSR ``[users, items]``.
        membership: 0/1 CSR ``[items, values]``.
        rng: draws the users, when there are more than ``MOST_USERS``.

    Returns:
        ``[values, values]``, symmetric, positive.
    """
    users = np.flatnonzero(np.diff(train.indptr) >= 2)
    if len(users) > MOST_USERS:
        users = np.sort(rng.choice(users, MOST_USERS, replace=False))
    train = train[users]
    activity = np.diff(train.indptr).astype(np.float32)  # [users]
    user_weight = 1.0 / np.maximum(activity, 1.0)
    pair_weight = user_weight * (activity - 1.0)  # of one interaction, over its partners
    item_pairs = train.T @ pair_weight  # [items]
    item_self = train.T @ user_weight  # [items] an item with itself is no pair
    total = float(pair_weight @ activity)

    profiles = (train @ membership).toarray()  # [users, values]
    together = profiles.T @ (profiles * user_weight[:, None])  # [values, values]
    together -= (membership.T @ diags(item_self) @ membership).toarray()
    mass = membership.T @ item_pairs  # [values]
    expected = np.outer(mass, mass) - (membership.T @ diags(item_pairs**2) @ membership).toarray()
    expected = np.maximum(expected, 0.0) / max(total, 1.0)
    lift = (np.maximum(together, 0.0) + PRIOR_PAIRS) / (expected + PRIOR_PAIRS)
    result: NDArray[np.float32] = lift.astype(np.float32)
    return result
