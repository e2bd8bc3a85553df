"""Linear NegGen: EASE with the causal effect of generated key features in its Gram matrix."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import LinearNegGenConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.models.balance import Balance, with_catalog
from neggen.models.base import FitContext
from neggen.models.described import described
from neggen.models.described_items import Described
from neggen.models.ease import EASE, check_memory
from neggen.models.graph import csr_tensor, multiply
from neggen.training.checkpoint import under


class LinearNegGen(EASE, Described):
    """EASE whose items also go together by what they are, in closed form.

    With the rows c_i = [x⁺_im − ρ · mean_k x⁻_imk]_m, centered, of equal energy in every modality
    (the item's own text is one of them, without a negative) and scaled to unit length, the Gram
    matrix of EASE becomes::

        G = XᵀX + w C Cᵀ + λI

    as if every dimension of the texts were one more user, whose row is √w times what the items have
    of it. w = 0 is EASE.

    An item n that nobody has used takes no part in this. It would add the column G⁻¹ w C c_n to
    the weights B, which ranks new items badly where tastes follow popularity, since G⁻¹ divides by
    what is popular. They are scored by a ridge regression instead, which explains every user's
    scores Bᵀx_u of the used items by the content of these::

        M    = B C (CᵀC + μI)⁻¹                       [items, width]
        ŷ_un = t_u · c_n    where t_u = Mᵀx_u = argmin over t of ‖C t − Bᵀx_u‖² + μ‖t‖²

    This scores items of the catalogue without a training interaction, and all that come later.
    """

    name = "neggen-linear"
    config_class = LinearNegGenConfig
    config: LinearNegGenConfig
    needs_vectors = True

    def effects_of(self, vectors: ItemVectors) -> Tensor:
        """Return the rows c of described items, ``[items, width]``; see :class:`Described`."""
        rho = self.config.contrast
        positive, negative = self.balance.apply(self.known(vectors))
        effects = torch.from_numpy(positive - rho * negative.mean(1)).flatten(1)  # [items, m * d]
        return F.normalize(effects, dim=1).to(self.config.device)

    def tastes(self, users: Tensor) -> Tensor:
        """Return t_u of internal users, int64 ``[batch]`` to ``[batch, width]``."""
        return self.tastes_by(self.train[users.cpu().numpy()])

    def tastes_by(self, histories: csr_matrix) -> Tensor:
        """Return t of people by what they used, CSR ``[batch, items]`` to ``[batch, width]``."""
        return multiply(csr_tensor(histories, self.content_map.device), self.content_map)

    def item_vectors(self, items: Tensor) -> Tensor:
        """Return the rows c of some items, ``[batch, width]``."""
        return self.effects[items]

    def _fit(self, data: Dataset, context: FitContext) -> None:
        check_memory(data.shape[1], self.config.device)  # before hours of describing
        data, vectors = described(data, seed=self.config.seed, device=self.config.device)
        if self.config.use_text and vectors.text is not None:
            vectors = with_catalog(vectors)
        self.balance = Balance.fit(vectors, self.config.contrast)
        super()._fit(data.replace(vectors=vectors), context)
        content = self._used_content(data.train, vectors)  # [items, width]
        scatter = content.T @ content  # [width, width]
        scatter.diagonal().add_(self.config.new_item_regularization)
        self.content_map = self.weights @ torch.linalg.solve(scatter, content.T).T  # M
        new = torch.from_numpy(_unused(data.train)).to(content.device)
        self.effects = self.effects_of(vectors)
        self.weights[:, new] = self.content_map @ self.effects[new].T

    def _gram(self, data: Dataset) -> Tensor:
        assert data.vectors is not None  # `_fit` saw to it
        content = self._used_content(data.train, data.vectors)
        together = super()._gram(data).to(self.config.device)
        return together.addmm_(content, content.T, alpha=self.config.content_weight)

    def _used_content(self, train: csr_matrix, vectors: ItemVectors) -> Tensor:
        """Return C, in which the rows of items without training interactions are zero."""
        content = self.effects_of(vectors)  # [items, width]
        content[torch.from_numpy(_unused(train)).to(content.device)] = 0
        return content

    def _tensors(self) -> dict[str, Tensor]:
        balance = {f"balance/{name}": tensor for name, tensor in self.balance.tensors().items()}
        own = {"content_map": self.content_map, "effects": self.effects}
        return {**super()._tensors(), **own, **balance}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        super()._restore(tensors)
        self.content_map, self.effects = tensors["content_map"], tensors["effects"]
        self.balance = Balance.restored(under("balance", tensors))


def _unused(train: csr_matrix) -> NDArray[np.bool_]:
    """Return which items have no training interaction, bool ``[items]``."""
    unused: NDArray[np.bool_] = np.bincount(train.indices, minlength=train.shape[1]) == 0
    return unused
