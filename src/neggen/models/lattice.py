"""LATTICE: LightGCN beside a graph of like items that is learned (Zhang et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.sparse import block_array, csr_matrix, eye_array
from torch import Tensor, nn

from neggen.config import LightGCNConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import Features, ItemGraph
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.features import FeaturesConfig, features_hash, item_features
from neggen.models.graph import DirectedAdjacency, nearest_items
from neggen.models.item_graphs import (
    item_graphs,
    normalized_weights,
    tie_weights,
)
from neggen.models.mf import MFModule
from neggen.models.parts import feature_tables
from neggen.negatives.base import Batch
from neggen.negatives.lookup import look_up
from neggen.negatives.view import View
from neggen.seeding import seeded


class LATTICEConfig(LightGCNConfig, FeaturesConfig):
    """LATTICE (Zhang et al. 2021, arXiv 2104.09036)."""

    learning_rate: float = Field(5e-4, gt=0)
    layers: int = Field(2, ge=1)
    """Propagation steps over the user-item graph."""
    regularization: float = Field(1e-5, ge=0)
    """λ of ½λ(‖e_u‖² + ‖e_p‖² + ‖e_n‖²), mean over the batch, on the final embeddings."""
    neighbors: int = Field(10, ge=1)
    """k, the nearest items that an item is tied to, itself counted."""
    hops: int = Field(1, ge=1)
    """Propagation steps over the graph of items."""
    skip: float = Field(0.9, ge=0, le=1)
    """How much the graphs of the features count; those of the projected features have the rest."""
    train_features: bool = True
    """Whether training moves the features too, as published; off saves memory and time."""


class LATTICEModule(MFModule):
    """LightGCN's propagation, and an item graph that the first step of an epoch learns."""

    def __init__(
        self,
        interactions: csr_matrix,
        graphs: Mapping[str, ItemGraph],
        features: Mapping[str, Features],
        config: LATTICEConfig,
    ) -> None:
        """Take what the items are.

        Args:
            interactions: the training part, 0/1 CSR ``[users, items]``.
            graphs: of like items, by modality, one for each of ``features``.
            features: of items, by modality.
            config: the settings.
        """
        super().__init__(interactions, config)
        self.config = config
        self.adjacency = _mean_adjacency(interactions, config.device)
        self.given = []
        """Ties and their weights of D^(−1/2) A D^(−1/2), each ``[items, k]``, by modality."""
        for name in features:
            neighbors, weights = tie_weights(graphs[name], "cosine", config.device)
            self.given.append((neighbors, normalized_weights(neighbors, weights)))
        self.item_graph: DirectedAdjacency | None = None
        """The graph of the present epoch, constant; None before its first step."""
        self.masks = [torch.from_numpy(f.mask).to(config.device) for f in features.values()]
        self.features = feature_tables(features, config.device, trained=config.train_features)
        self.modality_logits = nn.Parameter(torch.full((len(features),), 0.5))
        with seeded(config.seed, stream=1):
            self.projections = nn.ModuleList(
                nn.Linear(feature.shape[1], config.dim) for feature in self.features
            )
        self.to(config.device)

    def begin_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Forget the graph of the last epoch."""
        super().begin_epoch(epoch, generator)
        self.item_graph = None

    def ties(self) -> tuple[Tensor, Tensor]:
        """Return the item graph under the present weights, differentiable in them.

        It is (1 − skip) · the normalized graph of the projected features + skip · those of the
        features, each a mean over modalities with the learned shares.

        Returns:
            Neighbors, int64 ``[items, ties]``, some of them twice, and their weights, float of the
            same shape.
        """
        shares = self.modality_logits.softmax(0)  # [modalities]
        columns, values = [], []
        for features, projection, mask, share in zip(
            self.features, self.projections, self.masks, shares, strict=True
        ):
            neighbors, cosines = _nearest(projection(features), mask, self.config.neighbors)
            columns.append(neighbors)
            values.append(share * cosines)
        neighbors = torch.cat(columns, dim=1)  # [items, modalities · k]
        learned = normalized_weights(neighbors, torch.cat(values, dim=1))
        skip = self.config.skip
        given = [skip * share * w for share, (_, w) in zip(shares, self.given, strict=True)]
        return (
            torch.cat([neighbors, *(ties for ties, _ in self.given)], dim=1),
            torch.cat([(1 - skip) * learned, *given], dim=1),
        )

    def view(self, first: Tensor) -> View:
        """Return what a step learns by."""
        view = View(self._hops(first), self.users)
        if not self.hop_by_hop:
            view = View((view.final,), self.users)
        return view.plus(self._like(first))

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return user ``[users, d]`` and item ``[items, d]`` embeddings, the item graph anew."""
        self.item_graph = None
        return super().embeddings()

    def _hops(self, first: Tensor) -> list[Tensor]:
        hops = [first]
        for _ in range(self.config.layers):
            hops.append(self.adjacency.smooth(hops[-1]))
        return hops

    def _like(self, first: Tensor) -> Tensor:
        """Return h/‖h‖ of the items below zeros for the users, ``[users + items, d]``."""
        like = first[self.users :]  # [items, d]
        if self.item_graph is None:
            neighbors, weights = self.ties()
            for _ in range(self.config.hops):
                like = torch.einsum("ik,ikd->id", weights, look_up(like, neighbors))
            self.item_graph = _constant(neighbors, weights)
        else:
            for _ in range(self.config.hops):
                like = self.item_graph.smooth(like)
        return torch.cat([torch.zeros_like(first[: self.users]), F.normalize(like, dim=1)])

    def rank(self, first: Tensor, view: View, batch: Batch, generator: torch.Generator) -> Tensor:
        """Rank by the final embeddings, and regularize them too."""
        return super().rank(view.final, view, batch, generator)


def _nearest(rows: Tensor, mask: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find every item's nearest, itself first, among those with this modality.

    Args:
        rows: ``[items, d]``.
        mask: bool ``[items]``, True where the item has this modality.
        k: how many; fewer where there are not as many.

    Returns:
        The nearest, int64 ``[items, k]``, and their cosines, float ``[items, k]``, 0 where that is
        negative; an item without this modality is tied to item 0 with 0.
    """
    unit = F.normalize(rows, dim=1) * mask[:, None]  # [items, d]
    _, other = nearest_items(unit.detach(), k - 1)  # [present · (k − 1)]
    (present,) = mask.nonzero(as_tuple=True)
    others = other.view(len(present), max(0, min(k, len(present)) - 1))
    near = torch.cat([present[:, None], others], dim=1)  # [present, k]
    neighbors = near.new_zeros(len(rows), near.shape[1])
    neighbors[present] = near
    cosines = (unit[:, None] * look_up(unit, neighbors)).sum(2)  # [items, k]
    return neighbors, cosines.clamp(min=0)


def _constant(neighbors: Tensor, weights: Tensor) -> DirectedAdjacency:
    """Return ties and their weights, each ``[items, ties]``, as a matrix without gradient."""
    items, ties = neighbors.shape
    rows = np.arange(items).repeat(ties)
    values, columns = weights.detach().flatten().cpu().numpy(), neighbors.flatten().cpu().numpy()
    matrix = csr_matrix((values, (rows, columns)), (items, items))
    return DirectedAdjacency.of(matrix, weights.device)


def _mean_adjacency(train: csr_matrix, device: str) -> DirectedAdjacency:
    """Return D^(−1) (A + I) of the graph of users followed by items."""
    users, items = (eye_array(size, dtype=np.float32) for size in train.shape)
    graph = block_array([[users, train], [train.T, items]], format="csr")
    graph.data /= np.diff(graph.indptr).repeat(np.diff(graph.indptr))
    return DirectedAdjacency.of(graph, device)


class LATTICE(FactorModel):
    """LATTICE (arXiv 2104.09036) over LightGCN, its published setting.

    Every modality has a graph of like items by its features, S_m, and one by its projected
    features W_m x_i + b_m. With learned shares α = softmax of one number a modality::

        S = skip · Σ_m α_m S_m + (1 − skip) · normalized(Σ_m α_m A_m)
        h = S^L e,   ŷ_ui = ē_u · (ē_i + h_i / ‖h_i‖)

    where A_m holds the cosines of the projected features of every item's k nearest, and ē are the
    embeddings e propagated over users and items. BPR trains all, with the final embeddings of a
    batch regularized.

    As in the authors' code, the propagation over users and items takes D^(−1) (A + I), where the
    paper writes LightGCN's; the first step of an epoch learns S (projections, α, and the features
    themselves), and the others take it as it is; scores come from S under the present weights; an
    item is among its own nearest. Unlike there, graphs are sparse, negative cosines are no ties, an
    item without a modality has no ties in its graph, an item without interactions starts at zero,
    and the learning rate does not decay.
    """

    name = "lattice"
    config_class = LATTICEConfig
    config: LATTICEConfig
    needs_vectors = True
    takes_features = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        features = item_features(data, self.config)
        graphs = item_graphs(data, features, self.config.neighbors, self.config.device)
        module = LATTICEModule(data.train, graphs, features, self.config)
        self._learn(module, data, context, depends_on=features_hash(features))
