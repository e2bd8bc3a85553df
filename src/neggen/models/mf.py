"""Matrix factorization with BPR (Rendle et al. 2009, arXiv 1205.2618)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import LightGCNConfig, MFConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.training.loop import Batch, Factors, seeded
from neggen.training.losses import bpr_loss, embedding_regularization


class MFModule(Factors):
    """One table of embeddings for users and items, trained by BPR.

    An item that nobody has used starts at zero, and is never drawn, neither as a positive nor as a
    negative. All that scores it is what a model adds to its embedding: content, or other items.

    A model that makes more of its embeddings overrides ``final`` (or ``first``) and keeps the rest.
    """

    def __init__(self, interactions: csr_matrix, config: MFConfig | LightGCNConfig) -> None:
        super().__init__()
        self.users, self.items = interactions.shape
        self.regularization = config.regularization
        table = torch.empty(self.users + self.items, config.dim)
        with seeded(config.seed):
            nn.init.xavier_uniform_(table[: self.users])
            nn.init.xavier_uniform_(table[self.users :])
        table[self.users :][np.bincount(interactions.indices, minlength=self.items) == 0] = 0
        self.nodes = nn.Parameter(table.to(config.device))  # [users + items, d]

    def first(self) -> Tensor:
        """Return what is regularized, the layer-0 embeddings ``[users + items, d]``."""
        return self.nodes

    def final(self, first: Tensor) -> Tensor:
        """Return what scores, ``[users + items, d]``, made of the layer-0 embeddings."""
        return first

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return final user ``[users, d]`` and item ``[items, d]`` embeddings."""
        final = self.final(self.first())
        return final[: self.users], final[self.users :]

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """BPR on the final embeddings, regularization on the layer-0 ones (section 4.3.1)."""
        first = self.first()
        final = self.final(first)
        items = torch.stack([batch.positives, batch.negatives]) + self.users  # [2, batch]
        rows = torch.cat([batch.users[None], items])  # [3, batch]
        # Not final[rows]: its gradient sums in an order that changes from run to run.
        users, positives, negatives = F.embedding(rows, final)  # each [batch, d]
        ranking = bpr_loss((users * positives).sum(1), (users * negatives).sum(1))
        return ranking + self.regularization * embedding_regularization(*F.embedding(rows, first))


class MF(FactorModel):
    """Matrix factorization, ŷ_ui = e_u · e_i, with BPR on uniformly sampled negatives."""

    name = "mf"
    config_class = MFConfig
    config: MFConfig

    def _fit(self, data: Dataset, context: FitContext) -> None:
        self._learn(MFModule(data.train, self.config), data, context)
