"""The user-item graph: one normalization and one propagation for every graph model."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor


def normalized_adjacency(train: csr_matrix, device: torch.device | str = "cpu") -> Tensor:
    """Return Â = D^(−1/2) A D^(−1/2) of the bipartite graph, sparse CSR ``[nodes, nodes]``.

    Nodes are the users followed by the items. Indices are int32, which halves their memory traffic;
    a node without neighbors has an empty row.

    Args:
        train: 0/1 CSR ``[users, items]``.
        device: where the result lives.
    """
    nodes = sum(train.shape)
    edges = train.tocoo()
    users, items = edges.row, edges.col + train.shape[0]  # each [interactions]
    rows, columns = np.concatenate([users, items]), np.concatenate([items, users])
    degrees = np.bincount(rows, minlength=nodes)  # [nodes]
    values = (1 / np.sqrt(degrees[rows] * degrees[columns])).astype(np.float32)
    return csr_tensor(csr_matrix((values, (rows, columns)), shape=(nodes, nodes)), device)


def csr_tensor(matrix: csr_matrix, device: torch.device | str = "cpu") -> Tensor:
    """Return a scipy CSR matrix as a torch sparse CSR tensor with int32 indices, same shape."""
    with warnings.catch_warnings():
        # torch tells every process that CSR tensors are in beta, and some versions that invariants
        # go unchecked even when told so; scipy's matrix is sound, and the format the fastest here.
        warnings.filterwarnings("ignore", "Sparse (CSR tensor|invariant)", UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )


class _MeanPropagation(torch.autograd.Function):
    """Forward and backward are the same linear map, because the adjacency is symmetric."""

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, nodes: Tensor, layers: int) -> Tensor:
        ctx.adjacency, ctx.layers = adjacency, layers
        return _mean_of_layers(adjacency, nodes, layers)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
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
    propagated: Tensor = _MeanPropagation.apply(adjacency, nodes, layers)  # type: ignore[no-untyped-call]
    return propagated
