"""Items that a user has not touched, drawn exactly: no rejection, no host synchronization."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.errors import NegGenError


def check_left(degrees: NDArray[np.integer[Any]], items: int) -> None:
    """Check that every user, who has ``degrees`` items ``[users]``, has one of them unseen.

    Raises:
        NegGenError: If a user has interacted with every item, so that nothing can be drawn.
    """
    if degrees.max(initial=0) >= items:
        raise NegGenError(
            f"User number {int(degrees.argmax())} has interacted with all {items} items, so no "
            f"negative item is left to sample; drop such users or add items."
        )


class UnseenItems:
    """Draws unseen items, each with equal chance, with replacement.

    A user with sorted seen items s_0 < s_1 < … has s_j − j unseen items below s_j. The r-th unseen
    item is therefore r + #{j : s_j − j ≤ r}, and that count is one binary search over keys that are
    sorted across all users at once.
    """

    def __init__(self, train: csr_matrix, device: torch.device | str = "cpu") -> None:
        """Prepare the search keys of ``train``, 0/1 CSR ``[users, items]``.

        Raises:
            NegGenError: If a user has interacted with every item, so that nothing can be drawn.
        """
        users, items = train.shape
        degrees = np.diff(train.indptr)
        check_left(degrees, items)
        train = train.sorted_indices()
        row = np.repeat(np.arange(users, dtype=np.int64), degrees)
        within = np.arange(train.nnz, dtype=np.int64) - train.indptr[row]
        keys = row * (items + 1) + (train.indices - within)
        self._span = items + 1
        self._keys = torch.from_numpy(keys).to(device)  # [interactions]
        self._start = torch.from_numpy(train.indptr[:-1].astype(np.int64)).to(device)  # [users]
        self._unseen = torch.from_numpy((items - degrees).astype(np.float64)).to(device)  # [users]

    def sample(self, users: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Return unseen items for each user, int64 ``[batch, count]``.

        Args:
            users: internal users, int64 ``[batch]``.
            count: how many items each.
            generator: the source of randomness, on the device of ``users``.
        """
        users = users[:, None]
        share = torch.rand(
            (len(users), count), generator=generator, device=users.device, dtype=torch.float64
        )
        rank = (share * self._unseen[users]).long()  # uniform over 0 … unseen − 1, [batch, count]
        below = torch.searchsorted(self._keys, users * self._span + rank, right=True)
        return rank + below - self._start[users]
