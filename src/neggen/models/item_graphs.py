"""Graphs of like items, one a modality, as multimodal recommenders use them.

Unlike the graph of :func:`neggen.models.graph.item_graph`, ties have a direction, an item is among
its own k nearest, and D holds the sums of rows, as in the published code of LATTICE (Zhang et al.
2021, arXiv 2104.09036), FREEDOM (Zhou and Shen 2023, arXiv 2211.06924) and MGCN (Yu et al. 2023,
arXiv 2308.03588). So D^(−1/2) A D^(−1/2) is not symmetric.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.data.dataset import Dataset
from neggen.data.vectors import Features, ItemGraph
from neggen.errors import NegGenError
from neggen.models.graph import DirectedAdjacency, nearest_items
from neggen.negatives.lookup import look_up

Weighting = Literal["binary", "cosine"]


def item_graphs(
    data: Dataset, features: Mapping[str, Features], k: int, device: str
) -> dict[str, ItemGraph]:
    """Return the graph of every modality: the given one, or else that of its features.

    Args:
        data: with or without given graphs.
        features: what :func:`neggen.models.features.item_features` returned.
        k: how many nearest items, the item itself counted.
        device: where likeness is computed.

    Raises:
        NegGenError: If a given graph has fewer than k neighbors an item.
    """
    graphs = {name: _cut(name, given, k) for name, given in data.graphs.items()}
    for name, given in features.items():
        if name not in graphs:
            graphs[name] = nearest_graph(given, k, device)
    return graphs


def _cut(name: str, graph: ItemGraph, k: int) -> ItemGraph:
    stored = graph.neighbors.shape[1]
    if k > stored:
        raise NegGenError(
            f"The given graph '{name}' has {stored} neighbors an item, the item itself counted, "
            f"not {k}; set neighbors={stored} or fewer."
        )
    return ItemGraph(graph.neighbors[:, :k], graph.cosines[:, :k])


def nearest_graph(features: Features, k: int, device: str) -> ItemGraph:
    """Return every item's k nearest items by cosine, itself first, fewer where there are fewer."""
    unit = F.normalize(torch.from_numpy(features.values).to(device), dim=1)  # [items, width]
    (present,) = unit.any(dim=1).nonzero(as_tuple=True)
    others = nearest_items(unit, k - 1)[1].view(len(present), max(0, min(k, len(present)) - 1))
    rows = unit[present]  # [present, width]
    cosines = [(rows * unit[column]).sum(1) for column in others.T]
    near = torch.cat([present[:, None], others], dim=1)  # [present, k]
    likeness = torch.stack([torch.ones_like(present, dtype=unit.dtype), *cosines], dim=1)
    return ItemGraph.from_ties(
        present[:, None].expand_as(near).flatten().cpu().numpy(),
        near.flatten().cpu().numpy(),
        likeness.clamp(-1, 1).flatten().cpu().numpy(),
        len(unit),
    )


def tie_weights(graph: ItemGraph, weighting: Weighting, device: str) -> tuple[Tensor, Tensor]:
    """Return neighbors, int64 ``[items, k]``, and the weights of A, float32 ``[items, k]``.

    ``binary`` weighs every tie 1 (FREEDOM), ``cosine`` by its cosine (LATTICE, MGCN), or 0 where
    that is negative. A tie that is not there is one of weight 0 to item 0.
    """
    there = torch.from_numpy(graph.neighbors >= 0)
    neighbors = torch.from_numpy(graph.neighbors).long().clamp(min=0)
    weights = there.float() if weighting == "binary" else torch.from_numpy(graph.cosines).clamp(0)
    return neighbors.to(device), weights.to(device)


def normalized_weights(neighbors: Tensor, weights: Tensor) -> Tensor:
    """Return the weights of D^(−1/2) A D^(−1/2), a_ij / √(r_i r_j) with the row sums r of A.

    Args:
        neighbors: int64 ``[items, k]``.
        weights: of A, not negative, ``[items, k]``; the result is differentiable in them.
    """
    sums = weights.sum(1)  # [items]
    scale = torch.where(sums > 0, sums, torch.inf).rsqrt()
    return weights * scale[:, None] * look_up(scale, neighbors)


def item_adjacency(
    graphs: Mapping[str, ItemGraph],
    weighting: Weighting,
    device: str,
    shares: Mapping[str, float] | None = None,
) -> DirectedAdjacency:
    """Return the weighted mean over modalities of S = D^(−1/2) A D^(−1/2).

    Args:
        graphs: one or more, by modality.
        weighting: of the ties of A; see :func:`tie_weights`.
        device: where the result lives.
        shares: how much each modality counts, relative to the sum; equally by default.
    """
    shares = shares or dict.fromkeys(graphs, 1.0)
    total = sum(shares[name] for name in graphs)
    rows, columns, values = [], [], []
    for name, graph in graphs.items():
        neighbors, weights = tie_weights(graph, weighting, "cpu")
        there = (weights > 0).numpy()
        normalized = normalized_weights(neighbors, weights) * (shares[name] / total)
        rows.append(there.nonzero()[0])
        columns.append(neighbors.numpy()[there])
        values.append(normalized.numpy()[there])
    items = len(graph.neighbors)
    ties = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    matrix = csr_matrix(ties, shape=(items, items))  # ties of several modalities are summed
    return DirectedAdjacency.of(matrix, device)
