"""Content EASE: EASE whose items also go together by what they are."""

from __future__ import annotations

import torch
from torch import Tensor

from neggen.config import ContentEASEConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext
from neggen.models.content import content_of
from neggen.models.described import described
from neggen.models.ease import EASE, check_memory


class ContentEASE(EASE):
    """EASE with side information in its Gram matrix, in closed form.

    With the rows of :func:`neggen.models.content.content_of` as C, the Gram matrix becomes::

        G = XᵀX + w C Cᵀ + λI

    as if every dimension of the content were one more user, whose row is √w times what the items
    have of it (CEASE in Jeunen et al. 2020, "Closed-form models for collaborative filtering with
    side-information", with embeddings for tags). w = 0 is EASE.
    """

    name = "content-ease"
    config_class = ContentEASEConfig
    config: ContentEASEConfig
    needs_vectors = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        check_memory(data.shape[1], self.config.device)  # before hours of describing
        data, _ = described(data, seed=self.config.seed, device=self.config.device)
        super()._fit(data, context)

    def _gram(self, data: Dataset) -> Tensor:
        assert data.vectors is not None  # `_fit` saw to it
        content = torch.from_numpy(content_of(data.vectors, self.config.content))  # [items, width]
        content = content.to(self.config.device)
        together = super()._gram(data).to(self.config.device)
        return together.addmm_(content, content.T, alpha=self.config.content_weight)
