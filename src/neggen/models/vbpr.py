"""VBPR: matrix factorization with content beside the embeddings (He and McAuley 2016)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import RankingConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import Features
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.features import FeaturesConfig, features_hash, item_features
from neggen.models.mf import MFModule
from neggen.seeding import seeded


class VBPRConfig(RankingConfig, FeaturesConfig):
    """VBPR (He and McAuley 2016, arXiv 1510.01784)."""

    regularization: float = Field(1.0, ge=0)
    """λ of λ(‖U‖ + ‖P‖ + ‖N‖) / batch, the Frobenius norms of what scores."""


class VBPRModule(MFModule):
    """Matrix factorization with twice the width, half of it for content."""

    def __init__(
        self, interactions: csr_matrix, features: Mapping[str, Features], config: VBPRConfig
    ) -> None:
        super().__init__(interactions, config)
        side_by_side = np.concatenate([f.values for f in features.values()], axis=1)
        self.features = torch.from_numpy(side_by_side).to(config.device)  # [items, width]
        with seeded(config.seed, stream=1):
            self.tastes = nn.Parameter(torch.empty(self.users, config.dim))
            nn.init.xavier_uniform_(self.tastes)
            self.projection = nn.Linear(side_by_side.shape[1], config.dim)
            nn.init.xavier_normal_(self.projection.weight)
            nn.init.zeros_(self.projection.bias)
        self.to(config.device)

    def first(self) -> Tensor:
        """Return e_u beside t_u and e_i beside W x_i + b, ``[users + items, 2d]``."""
        content = torch.cat([self.tastes, self.projection(self.features)])  # [users + items, d]
        return torch.cat([self.nodes, content], dim=1)

    def penalty(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return ‖U‖ + ‖P‖ + ‖N‖, Frobenius norms over the number of rows, as the MMRec toolbox."""
        roles = (users, positives, negatives)  # squared lengths, each [rows]
        norms = [role.sum().clamp(min=1e-30).sqrt() / max(1, len(role)) for role in roles]
        return torch.stack(norms).sum()


class VBPR(FactorModel):
    """VBPR (He and McAuley 2016, arXiv 1510.01784), as it is compared in the field.

    With x_i, the features of all modalities side by side, the score is::

        ŷ_ui = e_u · e_i + t_u · (W x_i + b)

    which is equation 4 without its biases of items. Like the MMRec toolbox, this has a bias b in
    the map of features instead, knows no visual bias β'ᵀx_i, and regularizes both halves of what
    scores by norms that are not squared, λ(‖U‖ + ‖P‖ + ‖N‖) / batch; the paper squares those of the
    parameters. Unlike there, an item without interactions starts at e_i = 0, so that its content
    alone ranks it.
    """

    name = "vbpr"
    config_class = VBPRConfig
    config: VBPRConfig
    needs_vectors = True
    takes_features = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        features = item_features(data, self.config)
        module = VBPRModule(data.train, features, self.config)
        self._learn(module, data, context, depends_on=features_hash(features))
