"""LightGCN: embeddings smoothed over the user-item graph (He et al. 2020, arXiv 2002.02126)."""

from __future__ import annotations

import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import LightGCNConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.graph import normalized_adjacency, propagate, smooth
from neggen.models.mf import MFModule


class LightGCNModule(MFModule):
    """Matrix factorization whose embeddings are propagated on demand (loss: equation 15)."""

    def __init__(self, interactions: csr_matrix, config: LightGCNConfig) -> None:
        super().__init__(interactions, config)
        self.layers = config.layers
        self.adjacency = normalized_adjacency(interactions, config.device)

    def final(self, first: Tensor) -> Tensor:
        """Return the propagated embeddings ``[users + items, d]``."""
        return propagate(self.adjacency, first, self.layers)

    def by_hop(self, first: Tensor) -> Tensor:
        """Return the embeddings after every number of hops, ``[users + items, hops, d]``."""
        hops = [first]
        for _ in range(self.layers):
            hops.append(smooth(self.adjacency, hops[-1]))
        return torch.stack(hops, dim=1)


class LightGCN(FactorModel):
    """LightGCN; with its defaults, trained with BPR on uniformly sampled negatives."""

    name = "lightgcn"
    config_class = LightGCNConfig
    config: LightGCNConfig

    def _fit(self, data: Dataset, context: FitContext) -> None:
        self._learn(LightGCNModule(data.train, self.config), data, context)
