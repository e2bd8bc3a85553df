"""Linear NegGen: EASE with the causal effect of generated key features in its Gram matrix."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from neggen.config import LinearNegGenConfig
from neggen.data.dataset import Dataset
from neggen.models.balance import Balance
from neggen.models.base import FitContext
from neggen.models.described import described
from neggen.models.ease import EASE


class LinearNegGen(EASE):
    """EASE whose items also go together by what they are, in closed form.

    With the rows c_i = [x⁺_im − ρ · mean_k x⁻_imk]_m, centered, of equal energy in every modality
    and scaled to unit length, the Gram matrix of EASE becomes::

        G = XᵀX + w C Cᵀ + λI

    as if every dimension of the texts were √w users who use items as much as the items have of it.
    ρ = 0 is content-EASE on the descriptions, w = 0 is EASE.
    """

    name = "neggen-linear"
    config_class = LinearNegGenConfig
    config: LinearNegGenConfig
    needs_vectors = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        data, _ = described(data, seed=self.config.seed, device=self.config.device)
        super()._fit(data, context)

    def _gram(self, data: Dataset) -> Tensor:
        assert data.vectors is not None  # `_fit` saw to it
        rho = self.config.contrast
        positive, negative = Balance.fit(data.vectors, rho).apply(data.vectors)
        effects = torch.from_numpy(positive - rho * negative.mean(1)).flatten(1)  # [items, m * d]
        content = F.normalize(effects, dim=1).to(self.config.device)
        together = super()._gram(data).to(self.config.device)
        return together.addmm_(content, content.T, alpha=self.config.content_weight)
