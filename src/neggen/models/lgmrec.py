"""LGMRec: local graphs of interactions and modalities, and a global hypergraph (2024)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import LightGCNConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import Features
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.features import FeaturesConfig, features_hash, item_features
from neggen.models.graph import DirectedAdjacency, smooth
from neggen.models.lightgcn import LightGCNModule
from neggen.models.parts import dropped
from neggen.negatives.base import Batch
from neggen.negatives.lookup import look_up
from neggen.negatives.view import View
from neggen.seeding import seeded


class LGMRecConfig(LightGCNConfig, FeaturesConfig):
    """LGMRec (Guo et al. 2024, arXiv 2312.16400)."""

    layers: int = Field(2, ge=0)
    """Propagation steps of embeddings over the user-item graph."""
    modality_layers: int = Field(2, ge=0)
    """Propagation steps of modalities over the same graph."""
    hyperedges: int = Field(4, ge=1)
    """Hyperedges of each modality."""
    hyperedge_layers: int = Field(1, ge=1)
    """Passes through the hyperedges."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Chance that a node leaves a hyperedge in a step."""
    global_weight: float = Field(0.3, ge=0)
    """a, the share of the global embeddings."""
    contrast: float = Field(1e-4, ge=0)
    """λ₁, the weight of the contrast between hypergraphs, a sum over the batch."""
    temperature: float = Field(0.2, gt=0)
    """τ, of memberships and of the contrast."""
    regularization: float = Field(1e-6, ge=0)
    """λ of ½λ(‖e_u‖² + ‖e_p‖² + ‖e_n‖²), mean over the batch, on the final embeddings."""


class Global(NamedTuple):
    """What the hypergraph of one modality says of users ``[users, d]`` and items ``[items, d]``."""

    users: Tensor
    items: Tensor


class LGMRecModule(LightGCNModule):
    """LightGCN whose embeddings also get those of modalities and of hyperedges."""

    def __init__(
        self, interactions: csr_matrix, features: Mapping[str, Features], config: LGMRecConfig
    ) -> None:
        super().__init__(interactions, config)
        self.config = config
        # Not items by items here: it sums over the items of every user.
        self.histories = DirectedAdjacency.of(interactions, config.device)
        counts = np.maximum(np.diff(interactions.indptr), 1).astype(np.float32)
        self.counts = torch.from_numpy(counts).to(config.device)[:, None]  # [users, 1]
        self.features = [torch.from_numpy(f.values).to(config.device) for f in features.values()]
        with seeded(config.seed, stream=1):
            self.transforms = nn.ParameterList(  # W_m, each [width, d]
                nn.init.xavier_uniform_(torch.empty(f.shape[1], config.dim)) for f in self.features
            )
            self.hyperedges = nn.ParameterList(  # V_m, each [width, hyperedges]
                nn.init.xavier_uniform_(torch.empty(f.shape[1], config.hyperedges))
                for f in self.features
            )
        self.to(config.device)

    def view(self, first: Tensor) -> View:
        """Return what scores, without noise or dropout: LightGCN's and, at every hop, the rest."""
        view = super().view(first)
        return view.plus(self._added(view.final[self.users :])[0])

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Rank by the final embeddings, which are regularized, and contrast the hypergraphs."""
        view = super().view(self.nodes)
        added, hypergraphs = self._added(view.final[self.users :], generator)
        view = view.plus(added)
        loss = self.rank(view.final, view, batch, generator)
        for one, other in combinations(hypergraphs, 2) if self.config.contrast else ():
            apart = self._apart(one.users, other.users, batch.users)
            apart = apart + self._apart(one.items, other.items, batch.positives)
            loss = loss + self.config.contrast * apart
        return loss

    def _added(
        self, items: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, list[Global]]:
        """Return what is added to LightGCN, ``[users + items, d]``, and the hypergraphs' part.

        Args:
            items: LightGCN's embeddings, ``[items, d]``.
            generator: of noise and dropout; None is without.
        """
        d, local, hypergraphs = self.config.dim, torch.zeros_like(self.nodes), []
        for x, w, v in zip(self.features, self.transforms, self.hyperedges, strict=True):
            of_items = x @ torch.cat([w, v], dim=1)  # [items, d + hyperedges]
            of_users = self.histories.smooth(of_items)  # [users, d + hyperedges]
            nodes = torch.cat([of_users[:, :d] / self.counts, of_items[:, :d]])
            for _ in range(self.config.modality_layers):
                nodes = smooth(self.adjacency, nodes)
            local = local + F.normalize(nodes)  # [users + items, d]
            hypergraphs.append(self._global(of_users[:, d:], of_items[:, d:], items, generator))
        total = sum((torch.cat(part) for part in hypergraphs), torch.zeros_like(self.nodes))
        return local + self.config.global_weight * F.normalize(total), hypergraphs

    def _global(
        self, users: Tensor, items: Tensor, embeddings: Tensor, generator: torch.Generator | None
    ) -> Global:
        """Pass embeddings through hyperedges and back.

        Args:
            users: how much each belongs to every hyperedge, as logits ``[users, hyperedges]``.
            items: the same, ``[items, hyperedges]``.
            embeddings: of the items, ``[items, d]``.
            generator: of noise and dropout; None is without.
        """
        users, items = (self._membership(logits, generator) for logits in (users, items))
        passed = embeddings
        for _ in range(self.config.hyperedge_layers):
            edges = items.T @ passed  # [hyperedges, d]
            passed = items @ edges
        return Global(users @ edges, passed)

    def _membership(self, logits: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the Gumbel softmax of logits, with dropout, ``[nodes, hyperedges]``."""
        if generator is None:
            return torch.softmax(logits / self.config.temperature, dim=1)
        noise = -torch.empty_like(logits).exponential_(generator=generator).log()
        soft = torch.softmax((logits + noise) / self.config.temperature, dim=1)
        return dropped(soft, self.config.dropout, generator)

    def _apart(self, one: Tensor, other: Tensor, rows: Tensor) -> Tensor:
        """Return InfoNCE of some nodes in one hypergraph against all in another, summed.

        Args:
            one: ``[nodes, d]``.
            other: ``[nodes, d]``.
            rows: the nodes, ``[batch]``.
        """
        anchors = look_up(F.normalize(one), rows) / self.config.temperature  # [batch, d]
        logits = anchors @ F.normalize(other).T  # [batch, nodes]
        return F.cross_entropy(logits, rows, reduction="sum")


class LGMRec(FactorModel):
    """LGMRec (Guo et al. 2024, arXiv 2312.16400).

    Three embeddings of users and items are added up::

        e = LightGCN + Σ_m norm(L_m) + a · norm(Σ_m G_m)

    - Local: an item starts with x_m W_m, a user with the mean of their items', and L_m is what a
      few hops over the normalized user-item graph make of it.
    - Global: items belong to hyperedges by H_I = softmax((x_m V_m + Gumbel noise) / τ), users by
      H_U, the same of the sum over their items. G_m is H_I (H_Iᵀ E) for items and H_U (H_Iᵀ E) for
      users, with E LightGCN's items, and dropout on both H.

    The loss is that of the ranking plus λ₁ times InfoNCE that tells a node's G in one modality from
    all others' in another, summed over the batch's users and positives and over pairs of
    modalities. As in the authors' code, which is also that of the MMRec toolbox, e is what is
    regularized. Unlike there, the regularization is that of every model here, of squares; noise is
    drawn in training alone, so that scores do not change from call to call; an item without
    interactions starts at zero; and there may be another number of modalities, another sampler and
    another loss.
    """

    name = "lgmrec"
    config_class = LGMRecConfig
    config: LGMRecConfig
    needs_vectors = True
    takes_features = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        features = item_features(data, self.config)
        module = LGMRecModule(data.train, features, self.config)
        self._learn(module, data, context, depends_on=features_hash(features))
