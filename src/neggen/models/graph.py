"""The user-item graph: one normalization and one propagation for every graph model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import bmat, csr_matrix, diags_array
from torch import Tensor


def normalized_adjacency(train: csr_matrix, device: torch.device | str = "cpu") -> Tensor:
    """Return Â = D^(−1/2) A D^(−1/2) of the bipartite graph, sparse CSR ``[nodes, nodes]``.

    Nodes are the users followed by the items. Indices are int32, which halves their memory traffic;
    a node without neighbors has an empty row.

    Args:
        train: 0/1 CSR ``[users, items]``.
        device: where the result lives.
    """
    adjacency = bmat([[None, train], [train.T, None]], format="csr", dtype=np.float32)
    degrees = np.asarray(adjacency.sum(axis=1)).ravel()
    scale = diags_array(1 / np.sqrt(np.maximum(degrees, 1)))
    normalized = csr_matrix(scale @ adjacency @ scale, dtype=np.float32)
    return torch.sparse_csr_tensor(
        torch.from_numpy(normalized.indptr.astype(np.int32)),
        torch.from_numpy(normalized.indices.astype(np.int32)),
        torch.from_numpy(normalized.data),
        size=normalized.shape,
        device=device,
    )


class _MeanPropagation(torch.autograd.Function):
    """Forward and backward are the same linear map, because the adjacency is symmetric."""

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, nodes: Tensor, layers: int) -> Tensor:
        ctx.adjacency, ctx.layers = adjacency, layers
        return _mean_of_layers(adjacency, nodes, layers)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:  # type: ignore[override]
        return None, _mean_of_layers(ctx.adjacency, gradient, ctx.layers), None


def _mean_of_layers(adjacency: Tensor, nodes: Tensor, layers: int) -> Tensor:
    total, current = nodes.clone(), nodes
    for _ in range(layers):
        current = adjacency @ current
        total += current
    return total.div_(layers + 1)


def propagate(adjacency: Tensor, nodes: Tensor, layers: int) -> Tensor:
    """LightGCN's propagation: the mean of X, ÂX, …, Â^L X (He et al. 2020, equation 4).

    Args:
        adjacency: symmetric, sparse CSR ``[nodes, nodes]``.
        nodes: layer-0 embeddings, ``[nodes, d]``.
        layers: L.
    """
    propagated: Tensor = _MeanPropagation.apply(adjacency, nodes, layers)
    return propagated
