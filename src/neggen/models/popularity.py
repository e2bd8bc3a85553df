"""Popularity: everybody gets the items that most users have used."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import ModelConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext, Recommender


class PopularityConfig(ModelConfig):
    """Popularity has nothing to set."""


class Popularity(Recommender):
    """Scores an item by its number of training interactions: the bar every model must clear."""

    name = "popularity"
    config_class = PopularityConfig
    draws = False

    def _fit(self, data: Dataset, context: FitContext) -> None:
        counts = np.asarray(data.train.sum(axis=0), dtype=np.float32).ravel()
        self.counts = torch.from_numpy(counts).to(self.config.device)  # [items]

    def _score(self, users: Tensor) -> Tensor:
        return self.counts.repeat(len(users), 1)  # [batch, items]

    def _score_histories(self, histories: csr_matrix) -> Tensor:
        return self.counts.repeat(histories.shape[0], 1)

    def _tensors(self) -> dict[str, Tensor]:
        return {"counts": self.counts}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.counts = tensors["counts"]
