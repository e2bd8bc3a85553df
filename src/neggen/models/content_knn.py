"""Content kNN: everybody gets what is most like the things they have used."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import ContentConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext, Recommender
from neggen.models.content import content_of
from neggen.models.described import described
from neggen.models.history import History
from neggen.models.tensors import pack_csr, unpack_csr


class ContentKNNConfig(ContentConfig):
    """Likeness to what a user has used."""


class ContentKNN(Recommender):
    """Scores an item by its mean likeness to a user's training items, with nothing learned.

    With the rows x_i of :func:`neggen.models.content.content_of` and the training items I_u
    (Rocchio's profile in Lops et al. 2011, Recommender Systems Handbook, chapter 3)::

        ŷ_ui = mean over j in I_u of cos(x_i, x_j) = x_i · mean over j in I_u of x_j

    An item without interactions is scored as well as any other.
    """

    name = "content-knn"
    config_class = ContentKNNConfig
    draws = False
    config: ContentKNNConfig
    needs_vectors = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        _, vectors = described(data, seed=self.config.seed, device=self.config.device)
        content = torch.from_numpy(content_of(vectors, self.config.content))  # [items, width]
        self.content = content.to(self.config.device)
        self.train = data.train

    def item_vectors(self, items: Tensor) -> Tensor:
        """Return x of some items, ``[batch, width]``."""
        return self.content[items]

    def _score(self, users: Tensor) -> Tensor:
        return self._score_histories(self.train[users.cpu().numpy()])

    def _score_histories(self, histories: csr_matrix) -> Tensor:
        profiles = History(histories, self.config.device).mean(self.content)  # [batch, width]
        return profiles @ self.content.T  # [batch, items]

    def _tensors(self) -> dict[str, Tensor]:
        return {"content": self.content, **pack_csr("train", self.train)}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.content = tensors["content"]
        self.train = unpack_csr("train", tensors, len(self.content))
