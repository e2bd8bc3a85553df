"""ItemKNN: everybody gets what was used together with the things they have used."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix, vstack
from torch import Tensor

from neggen.config import ModelConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext, Recommender
from neggen.models.tensors import pack_csr, unpack_csr


class ItemKNNConfig(ModelConfig):
    """Items used together."""

    neighbors: int = Field(500, ge=1)
    """k, the most similar items that an item speaks for."""
    shrink: float = Field(100.0, ge=0)
    """h, which makes items that few have used less similar; only if ``normalize``."""
    normalize: bool = True
    """Whether similarity is a cosine; if not, it is how many users two items share."""


PAIRS_AT_ONCE = 1 << 24
"""Entries of the items × items matrix of similarities that are held at once, unless one row has
more."""


class ItemKNN(Recommender):
    """Scores an item by its likeness in use to a user's training items.

    With n_ij users of both items and n_i = n_ii, items are alike by the cosine of their columns of
    interactions, shrunk by h where few users speak for it (as in Ferrari Dacrema et al. 2019,
    arXiv 1907.06902), and an item of the training items I_u speaks only for those that it is most
    like, N_k(j) (Deshpande and Karypis 2004)::

        s_ij = n_ij / (√(n_i n_j) + h),    ŷ_ui = Σ of s_ij over j in I_u with i in N_k(j)
    """

    name = "item-knn"
    config_class = ItemKNNConfig
    draws = False
    config: ItemKNNConfig

    def _fit(self, data: Dataset, context: FitContext) -> None:
        by_item = data.train.T.tocsr()  # [items, users]
        items = by_item.shape[0]
        # What the users of an item have used, repeats included: row j has no more entries.
        most = np.minimum(by_item @ np.diff(data.train.indptr).astype(np.float64), items)
        upto = np.cumsum(most)  # [items]
        chunks, start = [], 0
        while start < items:
            before = upto[start - 1] if start else 0.0
            end = max(start + 1, int(np.searchsorted(upto, before + PAIRS_AT_ONCE, side="right")))
            chunks.append(self._nearest(by_item, data.train, start, end))
            start = end
        self.similarity = vstack(chunks, format="csr")  # [items, items], N_k(j) in row j
        self.train = data.train

    def _nearest(
        self, by_item: csr_matrix, by_user: csr_matrix, start: int, end: int
    ) -> csr_matrix:
        """Return s_ij of some items j and their k most similar i, CSR ``[chunk, items]``."""
        together = (by_item[start:end] @ by_user).tocoo()
        other = together.row + start != together.col  # nobody is their own neighbor
        row, column, values = together.row[other], together.col[other], together.data[other]
        if self.config.normalize:
            norms = np.sqrt(np.diff(by_item.indptr))  # [items]
            values = values / (norms[row + start] * norms[column] + self.config.shrink)
        order = np.lexsort((column, -values, row))  # by item, most similar first
        counts = np.bincount(row, minlength=together.shape[0])  # [chunk]
        rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = order[rank < self.config.neighbors]
        found = (values[kept].astype(np.float32), (row[kept], column[kept]))
        return csr_matrix(found, shape=together.shape)

    def item_vectors(self, items: Tensor) -> Tensor:
        """Return the rows of s: what an item speaks for, ``[batch, items]``."""
        rows = self.similarity[items.cpu().numpy()].toarray()
        return torch.from_numpy(rows).to(self.config.device)

    def _score(self, users: Tensor) -> Tensor:
        return self._score_histories(self.train[users.cpu().numpy()])

    def _score_histories(self, histories: csr_matrix) -> Tensor:
        scores = histories @ self.similarity  # sparse [batch, items]
        return torch.from_numpy(scores.toarray()).to(self.config.device)

    def _tensors(self) -> dict[str, Tensor]:
        return {
            "values": torch.from_numpy(self.similarity.data),
            **pack_csr("similarity", self.similarity),
            **pack_csr("train", self.train),
        }

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        items = len(tensors["similarity/indptr"]) - 1
        self.similarity = unpack_csr("similarity", tensors, items)
        self.similarity.data = tensors["values"].cpu().numpy()
        self.train = unpack_csr("train", tensors, items)
