"""Graphs of users and items, normalized and propagated as in LightGCN; graphs of like items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.data.sparse_tensor import sparse_csr

ITEMS_AT_ONCE = 1024
"""Rows of the items × items matrix of cosines that are held at once."""


def normalized_adjacency(train: csr_matrix, device: torch.device | str = "cpu") -> Tensor:
    """Return Â = D^(−1/2) A D^(−1/2) of the bipartite graph, sparse CSR ``[nodes, nodes]``.

    Nodes are the users followed by the items. Indices are int32, which halves their memory traffic;
    a node without neighbors has an empty row.

    Args:
        train: 0/1 CSR ``[users, items]``.
        device: where the result lives.
    """
    edges = train.tocoo()
    users, items = edges.row, edges.col + train.shape[0]  # each [interactions]
    rows, columns = np.concatenate([users, items]), np.concatenate([items, users])
    return _normalized(rows, columns, sum(train.shape), device)


def item_graph(content: NDArray[np.float32], neighbors: int, device: torch.device | str) -> Tensor:
    """Return S = D^(−1/2) A D^(−1/2) of a graph of like items, sparse CSR ``[items, items]``.

    Two items are tied (A_ij = A_ji = 1) if either is among the nearest ones of the other.

    Args:
        content: rows of unit length ``[items, width]``, zero where an item has none.
        neighbors: k, how many nearest items count.
        device: where the result lives, and where likeness is computed.
    """
    items = len(content)
    one, other = nearest_items(torch.from_numpy(content).to(device), neighbors).cpu().numpy()
    ties = np.unique(np.concatenate([one * items + other, other * items + one]))
    return _normalized(*np.divmod(ties, items), items, device)


def nearest_items(vectors: Tensor, k: int) -> Tensor:
    """Find every item's k nearest others by cosine.

    Args:
        vectors: rows of unit length ``[items, width]``; an item with a zero row has no neighbors
            and is nobody's.
        k: how many; fewer where there are not as many others.

    Returns:
        Pairs of an item and one of its nearest, int64 ``[2, pairs]``.
    """
    (present,) = vectors.any(dim=1).nonzero(as_tuple=True)
    rows = vectors[present]  # [present, width]
    k = min(k, len(rows) - 1)
    pairs = [present.new_empty(2, 0)]
    for start in range(0, len(rows) if k > 0 else 0, ITEMS_AT_ONCE):
        cosines = rows[start : start + ITEMS_AT_ONCE] @ rows.T  # [chunk, present]
        cosines.diagonal(start).fill_(-torch.inf)  # nobody is their own neighbor
        near = present[cosines.topk(k).indices]  # [chunk, k]
        one = present[start : start + ITEMS_AT_ONCE, None].expand_as(near)
        pairs.append(torch.stack([one.flatten(), near.flatten()]))
    return torch.cat(pairs, dim=1)


def _normalized(
    rows: NDArray[np.int64], columns: NDArray[np.int64], nodes: int, device: torch.device | str
) -> Tensor:
    degrees = np.bincount(rows, minlength=nodes)  # [nodes]
    values = (1 / np.sqrt(degrees[rows] * degrees[columns])).astype(np.float32)
    return csr_tensor(csr_matrix((values, (rows, columns)), shape=(nodes, nodes)), device)


def csr_tensor(matrix: csr_matrix, device: torch.device | str = "cpu") -> Tensor:
    """Return a scipy CSR matrix as a torch sparse CSR tensor with int32 indices, same shape."""
    parts = (matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data)
    indptr, indices, values = (torch.from_numpy(part).to(device) for part in parts)
    return sparse_csr(indptr, indices, values, matrix.shape)


def multiply(matrix: Tensor, nodes: Tensor) -> Tensor:
    """Return the product of a sparse and a dense matrix; gradients are the caller's business.

    On a CPU as weighted sums of looked-up rows, which is faster than torch's own product there
    (``benchmarks/propagation.py``). Every row is summed in its own order, so that the result is the
    same with any number of threads.

    Args:
        matrix: sparse CSR ``[rows, columns]``, float32.
        nodes: ``[columns, d]``.
    """
    if nodes.device.type != "cpu":
        return matrix @ nodes
    return _weighted_sums(matrix, matrix.values(), nodes)


def _weighted_sums(matrix: Tensor, values: Tensor, nodes: Tensor) -> Tensor:
    """Return the product of a matrix with the pattern of ``matrix`` and these values."""
    return F.embedding_bag(
        matrix.col_indices(),
        nodes.detach().contiguous(),
        matrix.crow_indices(),
        mode="sum",
        per_sample_weights=values,
        include_last_offset=True,
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
    # By Horner's rule, (X + Â(X + Â(X + …))) / (layers + 1): no table is written but the results.
    share = 1 / (layers + 1)
    total = nodes
    for layer in range(layers):
        total = _multiply_add(adjacency, total, nodes, share, 1.0 if layer else share)
    return total


def _multiply_add(
    matrix: Tensor, nodes: Tensor, base: Tensor, share: float, scale: float
) -> Tensor:
    """Return ``scale · matrix · nodes + share · base``, ``[rows, d]``."""
    if nodes.device.type != "cpu":
        return torch.addmm(base, matrix, nodes, beta=share, alpha=scale)
    values = matrix.values() if scale == 1 else scale * matrix.values()
    return _weighted_sums(matrix, values, nodes).add_(base, alpha=share)


def propagate(adjacency: Tensor, nodes: Tensor, layers: int) -> Tensor:
    """LightGCN's propagation: the mean of X, ÂX, …, Â^L X (He et al. 2020, equation 4).

    Args:
        adjacency: symmetric, sparse CSR ``[nodes, nodes]``.
        nodes: layer-0 embeddings, ``[nodes, d]``.
        layers: L.
    """
    propagated: Tensor = _MeanPropagation.apply(adjacency, nodes, layers)  # type: ignore[no-untyped-call]
    return propagated


class _PropagationByHop(torch.autograd.Function):
    """Every hop and their mean, so that the gradients of all are propagated together.

    Those of hops may be sparse: few rows are then added without a table of zeros around them.
    """

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, nodes: Tensor, layers: int) -> tuple[Tensor, ...]:
        ctx.adjacency = adjacency
        hops, mean = [nodes], nodes / (layers + 1)
        for _ in range(layers):
            hops.append(multiply(adjacency, hops[-1]))
            mean.add_(hops[-1], alpha=1 / (layers + 1))
        return mean, *hops

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, *of_hops: Tensor) -> tuple[None, Tensor, None]:
        # By Horner's rule, G₀ + Â(G₁ + Â(G₂ + …)), where G_l is the gradient of hop l.
        share = 1 / len(of_hops)
        total = of_mean.mul(share)
        _add_gradient(total, of_hops[-1])
        for gradient in reversed(of_hops[:-1]):
            total = multiply(ctx.adjacency, total).add_(of_mean, alpha=share)
            _add_gradient(total, gradient)
        return None, total, None


def _add_gradient(total: Tensor, gradient: Tensor) -> None:
    if gradient.is_sparse:  # add_ would sort the rows first
        total.index_add_(0, gradient._indices()[0], gradient._values())
    else:
        total.add_(gradient)


def propagate_by_hop(
    adjacency: Tensor, nodes: Tensor, layers: int
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return X, ÂX, …, Â^L X, and their mean, which :func:`propagate` returns, all as ``nodes``."""
    mean, *hops = _PropagationByHop.apply(adjacency, nodes, layers)  # type: ignore[no-untyped-call]
    return tuple(hops), mean


class _Smoothing(torch.autograd.Function):
    """One multiplication; its own backward, because the adjacency is symmetric."""

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, nodes: Tensor) -> Tensor:
        ctx.adjacency = adjacency
        return multiply(adjacency, nodes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, multiply(ctx.adjacency, gradient)


def smooth(adjacency: Tensor, nodes: Tensor) -> Tensor:
    """Return ÂX, one hop of smoothing, ``[nodes, d]``; arguments as of :func:`propagate`."""
    smoothed: Tensor = _Smoothing.apply(adjacency, nodes)  # type: ignore[no-untyped-call]
    return smoothed


class _DirectedSmoothing(torch.autograd.Function):
    """One multiplication whose backward multiplies by the transpose."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transpose: Tensor, nodes: Tensor) -> Tensor:
        ctx.transpose = transpose
        return multiply(matrix, nodes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, multiply(ctx.transpose, gradient)


@dataclass(frozen=True)
class DirectedAdjacency:
    """A matrix that is not symmetric, and its transpose for gradients.

    Attributes:
        matrix: sparse CSR ``[rows, columns]``.
        transpose: sparse CSR ``[columns, rows]``.
    """

    matrix: Tensor
    transpose: Tensor

    @classmethod
    def of(cls, matrix: csr_matrix, device: torch.device | str) -> Self:
        """Take a float32 CSR matrix ``[rows, columns]``."""
        return cls(csr_tensor(matrix, device), csr_tensor(matrix.T.tocsr(), device))

    def smooth(self, nodes: Tensor) -> Tensor:
        """Return SX, one hop of smoothing, ``[columns, d]`` to ``[rows, d]``."""
        smoothed: Tensor = _DirectedSmoothing.apply(self.matrix, self.transpose, nodes)  # type: ignore[no-untyped-call]
        return smoothed
