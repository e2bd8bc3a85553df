"""LightGCN beside a frozen graph of like items, after FREEDOM (Zhou & Shen 2023)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import ContentConfig, LightGCNConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext
from neggen.models.content import content_of
from neggen.models.described import described
from neggen.models.factors import FactorModel
from neggen.models.graph import item_graph, smooth
from neggen.models.lightgcn import LightGCNModule
from neggen.negatives.view import View


class FrozenGraphConfig(LightGCNConfig, ContentConfig):
    """LightGCN beside a frozen graph of like items."""

    neighbors: int = Field(10, ge=1)
    """k, the nearest items that an item is tied to."""
    hops: int = Field(1, ge=1)
    """L, the propagation steps over the graph of items."""


class FrozenGraphModule(LightGCNModule):
    """LightGCN whose items also get what their neighbors in the frozen graph start with."""

    def __init__(
        self,
        interactions: csr_matrix,
        content: NDArray[np.float32],
        config: FrozenGraphConfig,
    ) -> None:
        super().__init__(interactions, config)
        self.hops = config.hops
        self.item_graph = item_graph(content, config.neighbors, config.device)

    def view(self, first: Tensor) -> View:
        """Return propagated embeddings, with S^L e⁰ added to the items'."""
        return super().view(first).plus(self._like(first))

    def _like(self, first: Tensor) -> Tensor:
        """Return S^L e⁰ of the items below zeros for the users, ``[users + items, d]``."""
        like = first[self.users :]  # [items, d]
        for _ in range(self.hops):
            like = smooth(self.item_graph, like)
        return torch.cat([torch.zeros_like(first[: self.users]), like])


class FrozenGraph(FactorModel):
    """LightGCN with a frozen item-item graph, the idea of FREEDOM (arXiv 2211.06924).

    With S, the symmetrically normalized graph that ties every item to its k nearest by content, and
    the layer-0 embeddings e⁰, BPR trains the score::

        ŷ_ui = LightGCN_u · (LightGCN_i + (S^L e⁰)_i)

    FREEDOM has more (:mod:`neggen.models.freedom`): it prunes edges of the user-item graph by
    degree in every epoch, adds a BPR loss on learned projections of the raw features, and weighs
    one graph a modality. Its item graph is directed; this one ties both ways.
    """

    name = "frozen-graph"
    config_class = FrozenGraphConfig
    config: FrozenGraphConfig
    needs_vectors = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        data, vectors = described(data, seed=self.config.seed, device=self.config.device)
        content = content_of(vectors, self.config.content)  # [items, width]
        module = FrozenGraphModule(data.train, content, self.config)
        self._learn(module, data, context, depends_on=vectors.content_hash)
