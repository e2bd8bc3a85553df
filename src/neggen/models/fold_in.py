"""Embeddings of people who came after training, from the embeddings of what they used."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.models.history import History

RIDGE = 10.0
"""μ, in units of the mean variance of a dimension of m: as many users speak for W = 0."""


def fit_fold_in(train: csr_matrix, users: Tensor, items: Tensor) -> Tensor:
    """Learn to tell a user's embedding from those of the items they used.

    With the means m_u of the embeddings of the training items of users, it is a ridge regression
    of the users' own embeddings e_u::

        W, b = argmin Σ_u ‖m_u W + b − e_u‖² + μ‖W‖²

    Args:
        train: 0/1 CSR ``[users, items]``.
        users: e_u, ``[users, d]``.
        items: embeddings of the items, ``[items, d]``.

    Returns:
        W and below it b, ``[d + 1, d]``.
    """
    active = torch.from_numpy(np.diff(train.indptr) > 0)
    means = _means(train, items).cpu().double()[active]  # [active, d]
    targets = users.cpu().double()[active]
    center = means.mean(0)
    scatter = (means - center).T @ (means - center)  # [d, d]
    variance = scatter.diagonal().mean().clamp(min=1e-12) / max(len(means), 1)
    scatter.diagonal().add_(RIDGE * variance)
    slope = torch.linalg.solve(scatter, (means - center).T @ targets)
    offset = targets.mean(0) - center @ slope
    return torch.cat([slope, offset[None]]).to(items)


def embed(histories: csr_matrix, items: Tensor, fold_in: Tensor) -> Tensor:
    """Return the embeddings of people by what they used, ``[people, d]``.

    Args:
        histories: 0/1 float32 CSR ``[people, items]``.
        items: embeddings of the items, ``[items, d]``.
        fold_in: what :func:`fit_fold_in` returned.
    """
    return _means(histories, items) @ fold_in[:-1] + fold_in[-1]


def _means(histories: csr_matrix, items: Tensor) -> Tensor:
    return History(histories, str(items.device)).mean(items)
