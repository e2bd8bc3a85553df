"""LightGCN with content, the plain way: every item starts from its embedding and its content."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import Content, ContentConfig, LightGCNConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext
from neggen.models.content import content_of
from neggen.models.described import described
from neggen.models.factors import FactorModel
from neggen.models.lightgcn import LightGCNModule
from neggen.seeding import seeded


class ContentLightGCNConfig(LightGCNConfig, ContentConfig):
    """LightGCN with content in its items."""

    content: Content = "both"
    """What an item is: its own ``text``, its ``descriptions`` in all modalities, or ``both``."""
    layers: int = Field(3, ge=0)
    """Propagation steps over the user-item graph; 0 is matrix factorization with content."""


class ContentLightGCNModule(LightGCNModule):
    """LightGCN whose layer-0 item embeddings are e_i + W x_i."""

    def __init__(
        self,
        interactions: csr_matrix,
        content: NDArray[np.float32],
        config: ContentLightGCNConfig,
    ) -> None:
        super().__init__(interactions, config)
        self.content = torch.from_numpy(content).to(config.device)  # [items, width]
        with seeded(config.seed, stream=1):
            self.projection = nn.Linear(content.shape[1], config.dim, bias=False)
        self.projection.to(config.device)

    def first(self) -> Tensor:
        """Return the layer-0 embeddings, content included, ``[users + items, d]``."""
        items = self.nodes[self.users :] + self.projection(self.content)  # [items, d]
        return torch.cat([self.nodes[: self.users], items])


class ContentLightGCN(FactorModel):
    """LightGCN that learns content from scratch, along with everything else, by BPR.

    It propagates e_u and e_i + W x_i as LightGCN propagates e_u and e_i, with the rows x_i of
    :func:`neggen.models.content.content_of` and a learned W: the item factors of VBPR (He & McAuley
    2016, arXiv 1510.01784), both parts added up instead of side by side. It is the rival of every
    more careful way to add content.
    """

    name = "lightgcn-content"
    config_class = ContentLightGCNConfig
    config: ContentLightGCNConfig
    needs_vectors = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        data, vectors = described(data, seed=self.config.seed, device=self.config.device)
        content = content_of(vectors, self.config.content)  # [items, width]
        module = ContentLightGCNModule(data.train, content, self.config)
        self._learn(module, data, context, depends_on=vectors.content_hash)
