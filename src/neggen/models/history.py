"""What every user used in training, on the model's device."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.models.graph import csr_tensor, multiply

HISTORY_SAMPLE = 8
"""Items of a user's history that stand for all of it in a training step."""


class History:
    """The training items of every user, for sampling and averaging."""

    def __init__(self, train: csr_matrix, device: str) -> None:
        degrees = np.maximum(np.diff(train.indptr), 1).astype(np.float32)
        self._items = torch.from_numpy(train.indices.astype(np.int64)).to(device)  # [interactions]
        self._start = torch.from_numpy(train.indptr[:-1].astype(np.int64)).to(device)  # [users]
        self._degrees = torch.from_numpy(degrees).to(device)  # [users]
        self._matrix = csr_tensor(train, device)  # [users, items]

    def sample(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """Draw items of the users' histories with replacement, int64 ``[batch, sample]``."""
        shape = (len(users), HISTORY_SAMPLE)
        share = torch.rand(shape, generator=generator, device=users.device)
        degrees = self._degrees[users][:, None]
        offset = (share * degrees).long().clamp_(max=degrees.long() - 1)
        return self._items[self._start[users][:, None] + offset]

    def mean(self, items: Tensor) -> Tensor:
        """Average item vectors ``[items, d]`` over each user's history, ``[users, d]``."""
        return multiply(self._matrix, items) / self._degrees[:, None]
