"""LightGCN: embeddings smoothed over the user-item graph (He et al. 2020, arXiv 2002.02126)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import LightGCNConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.graph import normalized_adjacency, propagate
from neggen.training.loop import Batch, Factors, seeded
from neggen.training.losses import bpr_loss, embedding_regularization


class LightGCNModule(Factors):
    """One table of layer-0 embeddings for users and items, propagated on demand."""

    def __init__(self, interactions: csr_matrix, config: LightGCNConfig) -> None:
        super().__init__()
        self.users, self.items = interactions.shape
        self.layers, self.regularization = config.layers, config.regularization
        self.adjacency = normalized_adjacency(interactions, config.device)
        table = torch.empty(self.users + self.items, config.dim)
        with seeded(config.seed):
            nn.init.xavier_uniform_(table[: self.users])
            nn.init.xavier_uniform_(table[self.users :])
        self.nodes = nn.Parameter(table.to(config.device))  # [users + items, d]

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return propagated user ``[users, d]`` and item ``[items, d]`` embeddings."""
        final = propagate(self.adjacency, self.nodes, self.layers)
        return final[: self.users], final[self.users :]

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """BPR on the propagated embeddings, regularization on the layer-0 ones (equation 15)."""
        final = propagate(self.adjacency, self.nodes, self.layers)  # [users + items, d]
        items = torch.stack([batch.positives, batch.negatives]) + self.users  # [2, batch]
        rows = torch.cat([batch.users[None], items])  # [3, batch]
        # Not final[rows]: its gradient sums in an order that changes from run to run.
        users, positives, negatives = F.embedding(rows, final)  # each [batch, d]
        ranking = bpr_loss((users * positives).sum(1), (users * negatives).sum(1))
        return ranking + self.regularization * embedding_regularization(
            *F.embedding(rows, self.nodes)
        )


class LightGCN(FactorModel):
    """LightGCN trained with BPR on uniformly sampled negatives."""

    name = "lightgcn"
    config_class = LightGCNConfig
    config: LightGCNConfig

    def _fit(self, data: Dataset, context: FitContext) -> None:
        self._learn(LightGCNModule(data.train, self.config), data, context)
