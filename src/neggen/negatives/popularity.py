"""Sampling by popularity: unseen items, those that many have more often (word2vec, 2013)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from neggen.data.dataset import Dataset
from neggen.negatives.base import Batch, Draw, DrawnConfig, Sampler
from neggen.negatives.view import View

FINEST = 1 << 40
"""What the integer weights of all items sum up to, about, if there are few users."""


class PopularitySamplerConfig(DrawnConfig):
    """Settings of sampling by popularity."""

    power: float = Field(0.75, ge=0)
    """How much popularity counts: 0 is uniform, 1 as often as people have the item."""


class PopularitySampler(Sampler):
    """Draws items j that the user u has not with chance q(j | u) ∝ n_j^power, with replacement.

    n_j is how many users have j in training. 0.75 is what word2vec found (Mikolov et al. 2013,
    arXiv 1310.4546, section 2.2). The draw says log q, so that the softmax loss can correct for it.

    The draw is exact. Weights are integers, so that the weight of the unseen items below the j-th
    seen item of a user is exact too; the same binary search as in ``UnseenItems`` tells how much
    seen weight lies below a point of the unseen weight, and one more which item that is. A step
    takes two binary searches for each negative; an interaction takes 16 bytes.
    """

    name = "popularity"
    config_class = PopularitySamplerConfig
    config: PopularitySamplerConfig

    def __init__(self, config: Any, data: Dataset, device: torch.device | str = "cpu") -> None:
        """See :class:`Sampler`."""
        super().__init__(config, data, device)
        train = data.train.sorted_indices()
        users, items = train.shape
        counts = np.bincount(train.indices, minlength=items)  # [items]
        share = (counts / counts.max()) ** self.config.power * (counts > 0)
        finest = min(FINEST, (1 << 61) // users)  # so that all keys together fit 64 bits
        weights = np.floor(share / share.sum() * finest).astype(np.int64)
        weights = np.maximum(weights, counts > 0)
        ends = np.cumsum(weights)  # [items]

        seen = np.concatenate([[0], np.cumsum(weights[train.indices])])  # [interactions + 1]
        row = np.repeat(np.arange(users, dtype=np.int64), np.diff(train.indptr))
        below = (ends - weights)[train.indices] - (seen[:-1] - seen[train.indptr[row]])
        keys = row * (ends[-1] + 1) + below

        def moved(array: Any) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self._span = int(ends[-1]) + 1
        self._ends = moved(ends)
        self._keys = moved(keys)  # [interactions]
        self._seen = moved(seen)  # [interactions + 1]
        self._seen_before = moved(seen[train.indptr[:-1]])  # [users]
        self._unseen_weight = moved((ends[-1] - np.diff(seen[train.indptr])).astype(np.float64))
        log_q = self.config.power * np.log(np.maximum(counts, 1))
        self._log_q = moved(log_q.astype(np.float32))  # [items]

    def propose(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Tensor:
        """Return unseen items, drawn by popularity, int64 ``[batch, negatives]``."""
        users = users[:, None]
        share = torch.rand(
            (len(users), self.config.negatives),
            generator=generator,
            device=users.device,
            dtype=torch.float64,
        )
        point = (share * self._unseen_weight[users]).long()  # in the unseen weight, [batch, k]
        below = torch.searchsorted(self._keys, users * self._span + point, right=True)
        point = point + self._seen[below] - self._seen_before[users]  # in the weight of all items
        return torch.searchsorted(self._ends, point, right=True)

    @property
    def by_row(self) -> bool:
        """Always: choosing says no more than how likely what was proposed is."""
        return True

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return what was proposed, and how likely it was: power · log n, up to a constant."""
        log_q = self._log_q[batch.negatives]
        return Draw(batch.negatives, log_q=log_q, positive_log_q=self._log_q[batch.positives])
