"""In-batch negatives: what other rows of the batch have (Yi et al. 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from neggen.data.dataset import Dataset
from neggen.negatives.base import Batch, Draw, Sampler, SamplerConfig
from neggen.negatives.view import View


class InBatchConfig(SamplerConfig):
    """In-batch negatives have nothing to set; ``batch_size`` says how many there are."""

    @property
    def count(self) -> int:
        """How many negatives a positive gets: many, as many as the batch has rows at most."""
        return 1 << 30


class InBatch(Sampler):
    """Takes the positives of all rows as negatives of every row, but those that its user has.

    For a batch of pairs (u_b, i_b)::

        N = (i_1, …, i_B),   allowed(b, j) = i_j is not in the training part of u_b

    A row's own positive is therefore none of its negatives. Since batches draw interactions, an
    item is among them with a chance of q ∝ n, how many users have it. The draw says log q, so that
    the softmax loss can correct for it, as Yi et al. do (2019, "Sampling-bias-corrected neural
    modeling for large corpus item recommendations", section 3, doi 10.1145/3298689.3346996). They
    estimate q from a stream, and leave only the own positive out; here it is counted, and all that
    the user has is left out.

    A step looks through what the batch's users have (on a GPU, where asking how much that is takes
    longer, through all interactions), and compares batch² pairs; nothing of the size users times
    items is made. The last batch of an epoch may be small, and has few negatives then.
    """

    name = "in-batch"
    config_class = InBatchConfig
    sees_model = True  # that is, what is drawn is known in ``choose`` alone

    def __init__(self, config: Any, data: Dataset, device: torch.device | str = "cpu") -> None:
        """See :class:`Sampler`."""
        super().__init__(config, data, device)
        train = data.train
        self._shape: tuple[int, int] = train.shape
        rows = np.repeat(np.arange(train.shape[0], dtype=np.int64), np.diff(train.indptr))
        self._rows = torch.from_numpy(rows).to(device)  # [interactions]
        self._starts = torch.from_numpy(train.indptr.astype(np.int64)).to(device)  # [users + 1]
        self._columns = torch.from_numpy(train.indices.astype(np.int64)).to(device)
        counts = np.bincount(train.indices, minlength=train.shape[1])
        log_q = np.log(np.maximum(counts, 1)).astype(np.float32)
        self._log_q = torch.from_numpy(log_q).to(device)  # [items]

    def propose(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Tensor:
        """Return no candidates, int64 ``[batch, 0]``: the batch has all that is needed."""
        return users.new_empty(len(users), 0)

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return the positives of the batch, int64 ``[batch]``, and whose negatives they are."""
        users, items = batch.users, batch.positives
        size = len(users)
        # Some row stands for each user and for each item of the batch; ``size`` stands for none.
        each = torch.arange(size, device=users.device)
        user_row, item_row = (users.new_full((count,), size) for count in self._shape)
        user_row[users], item_row[items] = each, each
        had = torch.zeros((size + 1) ** 2, dtype=torch.bool, device=users.device)
        rows, columns = self._interactions_of(users)
        had.index_fill_(0, user_row[rows] * (size + 1) + item_row[columns], True)
        had = had.view(size + 1, size + 1)
        allowed = ~had[user_row[users]][:, item_row[items]]  # [batch, batch]
        log_q = self._log_q[items]
        return Draw(items, allowed=allowed, log_q=log_q, positive_log_q=log_q)

    def _interactions_of(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Return users and items of interactions, among them all of some users."""
        if users.is_cuda:
            return self._rows, self._columns
        distinct = torch.unique(users)
        first = self._starts[distinct]
        counts = self._starts[distinct + 1] - first
        before = counts.cumsum(0) - counts
        places = torch.repeat_interleave(first - before, counts)
        places += torch.arange(len(places))
        return self._rows[places], self._columns[places]
