"""LightGCN: embeddings smoothed over the user-item graph (He et al. 2020, arXiv 2002.02126)."""

from __future__ import annotations

from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import LightGCNConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.graph import normalized_adjacency, propagate, propagate_by_hop
from neggen.models.mf import MFModule
from neggen.negatives.view import View


class LightGCNModule(MFModule):
    """Matrix factorization whose embeddings are propagated on demand (loss: equation 15)."""

    def __init__(self, interactions: csr_matrix, config: LightGCNConfig) -> None:
        super().__init__(interactions, config)
        self.layers = config.layers
        self.adjacency = normalized_adjacency(interactions, config.device)

    def view(self, first: Tensor) -> View:
        """Return the embeddings after every number of hops, or only their mean."""
        if not self.hop_by_hop:
            return View((propagate(self.adjacency, first, self.layers),), self.users)
        hops, mean = propagate_by_hop(self.adjacency, first, self.layers)
        # On a GPU, where zeros cost little, sparse gradients would have to be sorted.
        return View(hops, self.users, final=mean, sparse=not first.is_cuda)


class LightGCN(FactorModel):
    """LightGCN; with its defaults, trained with BPR on uniformly sampled negatives."""

    name = "lightgcn"
    config_class = LightGCNConfig
    config: LightGCNConfig

    def _fit(self, data: Dataset, context: FitContext) -> None:
        self._learn(LightGCNModule(data.train, self.config), data, context)
