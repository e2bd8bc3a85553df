"""MGCN: behavior purifies what modalities say of items, and fuses it (Yu et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import LightGCNConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import Features, ItemGraph
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.features import FeaturesConfig, features_hash, item_features
from neggen.models.graph import DirectedAdjacency
from neggen.models.item_graphs import item_adjacency, item_graphs
from neggen.models.lightgcn import LightGCNModule
from neggen.models.parts import feature_tables
from neggen.negatives.base import Batch
from neggen.negatives.lookup import look_up
from neggen.negatives.view import View
from neggen.seeding import seeded
from neggen.training.losses import info_nce


class MGCNConfig(LightGCNConfig, FeaturesConfig):
    """MGCN (Yu et al. 2023, arXiv 2308.03588)."""

    layers: int = Field(2, ge=1)
    """Propagation steps over the user-item graph."""
    regularization: float = Field(1e-4, ge=0)
    """λ of ½λ(‖e_u‖² + ‖e_p‖² + ‖e_n‖²), mean over the batch, on the final embeddings."""
    neighbors: int = Field(10, ge=1)
    """k, the nearest items that an item is tied to, itself counted."""
    hops: int = Field(1, ge=1)
    """Propagation steps over the graph of items."""
    contrastive_weight: float = Field(0.01, ge=0)
    """λ_c, weight of the loss that contrasts what behavior and what modalities say."""
    temperature: float = Field(0.2, gt=0)
    """τ of that loss."""
    train_features: bool = True
    """Whether training moves the features too, as published; off saves memory and time."""


class MGCNModule(LightGCNModule):
    """LightGCN, plus a view of users and items a modality."""

    def __init__(
        self,
        interactions: csr_matrix,
        graphs: Mapping[str, ItemGraph],
        features: Mapping[str, Features],
        config: MGCNConfig,
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
        self.histories = _histories(interactions, config.device)
        self.item_graphs = [
            item_adjacency({name: graphs[name]}, "cosine", config.device) for name in features
        ]
        self.features = feature_tables(features, config.device, trained=config.train_features)
        dim = config.dim
        with seeded(config.seed, stream=1):
            self.projections = nn.ModuleList(nn.Linear(x.shape[1], dim) for x in self.features)
            self.purifiers = nn.ModuleList(nn.Linear(dim, dim) for _ in features)
            self.tastes = nn.ModuleList(nn.Linear(dim, dim) for _ in features)
            self.attention = nn.Sequential(
                nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False)
            )
        self.to(config.device)

    def view(self, first: Tensor) -> View:
        """Return what scores: behavior and, at every hop, what modalities add."""
        behavior = super().view(first)
        return behavior.plus(self._side(first, behavior.final))

    def _side(self, first: Tensor, behavior: Tensor) -> Tensor:
        """Return what modalities add to users and items, ``[users + items, d]``.

        Args:
            first: layer-0 embeddings, ``[users + items, d]``.
            behavior: propagated embeddings, ``[users + items, d]``.
        """
        views, tastes = [], []
        for features, projection, purifier, taste, graph in zip(
            self.features,
            self.projections,
            self.purifiers,
            self.tastes,
            self.item_graphs,
            strict=True,
        ):
            items = first[self.users :] * purifier(projection(features)).sigmoid()  # [items, d]
            for _ in range(self.config.hops):
                items = graph.smooth(items)
            views.append(torch.cat([self.histories.smooth(items), items]))
            tastes.append(taste(behavior).sigmoid())
        each = torch.stack(views, dim=1)  # [users + items, modalities, d]
        shares = self.attention(each).softmax(1)  # [users + items, modalities, 1]
        common = (shares * each).sum(1)  # [users + items, d]
        special = torch.stack(tastes, dim=1) * (each - common[:, None])
        side: Tensor = (special.sum(1) + common) / (len(views) + 1)
        return side

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Rank and regularize by what scores, and align its two parts by InfoNCE."""
        first = self.first()
        behavior = super().view(first)
        side = self._side(first, behavior.final)
        view = behavior.plus(side)
        loss = self.rank(view.final, view, batch, generator)
        for rows in (batch.users, batch.positives + self.users):
            one, other = look_up(side, rows), behavior.nodes(rows)  # each [batch, d]
            none = one.new_empty(len(one), 0, one.shape[1])
            aligned = info_nce(one, other, none, self.config.temperature)
            loss = loss + self.config.contrastive_weight * aligned
        return loss


def _histories(train: csr_matrix, device: str) -> DirectedAdjacency:
    """Return the users' rows of D^(−1/2) A D^(−1/2), ``[users, items]``, and the transpose."""
    edges = train.tocoo()
    users, items = (np.bincount(nodes)[nodes] for nodes in (edges.row, edges.col))  # degrees
    values = (users * items).astype(np.float32) ** -0.5
    matrix = csr_matrix((values, (edges.row, edges.col)), shape=train.shape)
    return DirectedAdjacency.of(matrix, device)


class MGCN(FactorModel):
    """MGCN (arXiv 2308.03588).

    With ē the embeddings e propagated over users and items as in LightGCN, S_m the graph of like
    items of modality m, and R the normalized interactions, an item and a user have a view::

        v_im = S_m^L (e_i ⊙ σ(G_m (W_m x_im))),   v_um = Σ_i R_ui v_im      (purifier, propagation)
        c = Σ_m α_m v_m,   α = softmax_m(q · tanh(Q v_m))                       (what they share)
        s = (c + Σ_m σ(P_m ē) ⊙ (v_m − c)) / (modalities + 1)                              (fuser)
        ŷ_ui = (ē_u + s_u) · (ē_i + s_i)

    G_m, W_m, P_m and Q have biases. The loss is BPR with the final embeddings of a batch
    regularized, plus, times ``contrastive_weight``, InfoNCE between s and ē of its users and of its
    positives.

    As in the authors' code, α and c are computed for users as for items, s is a mean, an item is
    among its own nearest, and training moves the features x themselves. Unlike there, the number of
    modalities is free, negative cosines are no ties, an item without a modality has no ties in its
    graph, an item without interactions starts at zero, and the learning rate does not decay.
    """

    name = "mgcn"
    config_class = MGCNConfig
    config: MGCNConfig
    needs_vectors = True
    takes_features = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        features = item_features(data, self.config)
        graphs = item_graphs(data, features, self.config.neighbors, self.config.device)
        module = MGCNModule(data.train, graphs, features, self.config)
        self._learn(module, data, context, depends_on=features_hash(features))
