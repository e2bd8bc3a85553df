"""FREEDOM: a frozen graph of items and a denoised one of users and items (Zhou and Shen 2023)."""

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
from neggen.models.graph import normalized_adjacency, propagate
from neggen.models.item_graphs import item_adjacency, item_graphs
from neggen.models.lightgcn import LightGCNModule
from neggen.models.parts import feature_tables
from neggen.negatives.base import Batch, Draw
from neggen.negatives.lookup import look_up
from neggen.negatives.view import View
from neggen.seeding import seeded
from neggen.training.ranking_losses import compare


class FREEDOMConfig(LightGCNConfig, FeaturesConfig):
    """FREEDOM (Zhou and Shen 2023, arXiv 2211.06924)."""

    layers: int = Field(2, ge=1)
    """Propagation steps over the user-item graph."""
    regularization: float = Field(0.0, ge=0)
    """λ of ½λ(‖e_u‖² + ‖e_p‖² + ‖e_n‖²), mean over the batch; the published loss has none."""
    neighbors: int = Field(10, ge=1)
    """k, the nearest items that an item is tied to, itself counted."""
    hops: int = Field(1, ge=1)
    """Propagation steps over the graph of items."""
    image_weight: float = Field(0.1, ge=0, le=1)
    """α, how much the graph ``image`` counts; the other modalities share 1 − α evenly."""
    pruning: float = Field(0.8, ge=0, lt=1)
    """ρ, the share of interactions that an epoch leaves out of the user-item graph."""
    feature_weight: float = Field(1e-3, ge=0)
    """Weight of the losses that rank by the projected features."""
    train_features: bool = True
    """Whether training moves the features too, as published; off saves memory and time."""


class FREEDOMModule(LightGCNModule):
    """LightGCN that trains on a pruned graph, beside a frozen graph of like items."""

    def __init__(
        self,
        interactions: csr_matrix,
        graphs: Mapping[str, ItemGraph],
        features: Mapping[str, Features],
        config: FREEDOMConfig,
    ) -> None:
        """Take what the items are.

        Args:
            interactions: the training part, 0/1 CSR ``[users, items]``.
            graphs: of like items, one or more, by modality.
            features: of items, by modality; none where only graphs are known.
            config: the settings.
        """
        super().__init__(interactions, config)
        self.config = config
        self.whole = self.adjacency
        """The graph that scores; ``adjacency`` is the one that an epoch learns on."""
        edges = interactions.tocoo()
        self.edges = edges.row, edges.col  # each [interactions]
        users, items = (np.bincount(nodes)[nodes] for nodes in self.edges)  # degrees
        chances = (users * items).astype(np.float32) ** -0.5
        self.chances = torch.from_numpy(chances).to(config.device)  # [interactions]
        shares = _shares(graphs, config.image_weight)
        self.item_graph = item_adjacency(graphs, "binary", config.device, shares)
        self.features = feature_tables(features, config.device, trained=config.train_features)
        with seeded(config.seed, stream=1):
            self.projections = nn.ModuleList(
                nn.Linear(feature.shape[1], config.dim) for feature in self.features
            )
        self.to(config.device)

    def begin_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Prune: keep 1 − ρ of the edges, drawn with chances ∝ 1 / √(d_u d_i)."""
        super().begin_epoch(epoch, generator)
        if self.config.pruning == 0:
            return
        keep = max(1, round(len(self.chances) * (1 - self.config.pruning)))
        # The largest p / Exp(1) are a sample without replacement, as torch.multinomial draws it.
        noise = torch.empty_like(self.chances).exponential_(generator=generator)
        kept = (self.chances / noise).topk(keep, sorted=False).indices.cpu().numpy()
        users, items = (nodes[kept] for nodes in self.edges)
        pruned = csr_matrix((np.ones(keep), (users, items)), shape=(self.users, self.items))
        self.adjacency = normalized_adjacency(pruned, self.config.device)

    def view(self, first: Tensor) -> View:
        """Return what an epoch learns by."""
        return super().view(first).plus(self._like(first))

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return user ``[users, d]`` and item ``[items, d]`` embeddings over the whole graph."""
        final = propagate(self.whole, self.nodes, self.layers) + self._like(self.nodes)
        return final[: self.users], final[self.users :]

    def _like(self, first: Tensor) -> Tensor:
        """Return S^L e of the items below zeros for the users, ``[users + items, d]``."""
        like = first[self.users :]  # [items, d]
        for _ in range(self.config.hops):
            like = self.item_graph.smooth(like)
        return torch.cat([torch.zeros_like(first[: self.users]), like])

    def rank(self, first: Tensor, view: View, batch: Batch, generator: torch.Generator) -> Tensor:
        """Rank by the embeddings, and by each modality's projected features."""
        loss = super().rank(first, view, batch, generator)
        if self.config.feature_weight == 0 or batch.negatives.numel() == 0:
            return loss
        ready = self.ranking_loss.ready
        users = ready(view.users(batch.users))  # [batch, d]
        items = torch.cat([batch.positives[:, None], batch.negatives], dim=1)  # [batch, 1 + k]
        draw = self.drawn if self.drawn.items is batch.negatives else Draw(batch.negatives)
        for features, projection in zip(self.features, self.projections, strict=True):
            if items.numel() < self.items:
                seen = projection(look_up(features, items))  # [batch, 1 + k, d]
            else:
                seen = look_up(projection(features), items)
            seen = ready(seen)
            by_features = compare(self.ranking_loss, users, seen[:, 0], seen[:, 1:], draw)
            loss = loss + self.config.feature_weight * by_features
        return loss


def _shares(graphs: Mapping[str, ItemGraph], image: float) -> dict[str, float]:
    """Return how much each modality counts, relative to the sum."""
    if len(graphs) == 1 or "image" not in graphs:
        return dict.fromkeys(graphs, 1.0)
    rest = (1 - image) / (len(graphs) - 1)
    return {name: image if name == "image" else rest for name in graphs}


class FREEDOM(FactorModel):
    """FREEDOM (arXiv 2211.06924), from features, from graphs of like items, or from both.

    With S = Σ_m α_m S_m, the frozen item graph, and the layer-0 embeddings e, the score is::

        ŷ_ui = LightGCN_u · (LightGCN_i + (S^L e)_i)

    Every epoch, LightGCN runs on another sample of the interactions; scores are those of the whole
    graph. The loss is that of the ranking by ŷ plus, times ``feature_weight``, that of the ranking
    by LightGCN_u · (W_m x_i + b_m) for every modality m with features.

    As in the authors' code, an item is among its own nearest, and training moves the features x
    themselves. Unlike there, an item without a modality has no ties in its graph, an item without
    interactions starts at zero, and the sampler and the loss may be others. With three or more
    modalities, those that are not images share 1 − α evenly. The losses on features contrast with
    all that the sampler proposes; where it proposes nothing (``in-batch``), or the data came with
    graphs alone, there are none.
    """

    name = "freedom"
    config_class = FREEDOMConfig
    config: FREEDOMConfig
    needs_vectors = True
    takes_features = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        features = item_features(data, self.config, graphs_do=True)
        graphs = item_graphs(data, features, self.config.neighbors, self.config.device)
        module = FREEDOMModule(data.train, graphs, features, self.config)
        self._learn(module, data, context, depends_on=features_hash(features))
