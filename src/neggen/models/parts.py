"""Small parts of models that several share: embeddings, features, and dropout with a generator."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.data.vectors import Features


def initial_nodes(interactions: csr_matrix, dim: int) -> Tensor:
    """Return Xavier-uniform embeddings of the users followed by the items, ``[users + items, d]``.

    An item that nobody has used starts at zero. Draws from torch's own generator.

    Args:
        interactions: the training part, 0/1 CSR ``[users, items]``.
        dim: d.
    """
    users, items = interactions.shape
    table = torch.empty(users + items, dim)
    nn.init.xavier_uniform_(table[:users])
    nn.init.xavier_uniform_(table[users:])
    table[users:][np.bincount(interactions.indices, minlength=items) == 0] = 0
    return table


def feature_tables(
    features: Mapping[str, Features], device: str, *, trained: bool
) -> nn.ParameterList | list[Tensor]:
    """Return copies of the features of every modality, each ``[items, width]``.

    Args:
        features: of items, by modality.
        device: where the copies live.
        trained: whether they are parameters, which training moves.
    """
    tables = [torch.tensor(given.values, device=device) for given in features.values()]
    return nn.ParameterList(tables) if trained else tables


def dropped(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Return inverted dropout of ``values``, of any shape: a share ``rate`` is zero, on average.

    Unlike that of torch, it draws from ``generator``, so that a resumed run draws the same.
    """
    if not rate:
        return values
    chance = torch.rand(values.shape, generator=generator, device=values.device)
    return values * (chance >= rate) / (1 - rate)
