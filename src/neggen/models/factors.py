"""Recommenders trained by gradient, and those whose score is a dot product."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from neggen.config import TrainConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext, Recommender
from neggen.training.loop import Factors, Trainable, train


class GradientModel(Recommender):
    """A recommender whose module the training loop trains."""

    config: TrainConfig

    def _train(
        self, module: Trainable, data: Dataset, context: FitContext, depends_on: str = ""
    ) -> None:
        """Train a module and leave it with its best weights.

        Args:
            module: what to train.
            data: the split data.
            context: where the checkpoint of the phase named after this model goes.
            depends_on: identifies whatever else than data and settings decides the result.
        """
        state = train(
            module,
            data.train,
            data.valid,
            self.config,
            checkpoint=context.checkpoint(self.name),
            fingerprint=f"{data.content_hash} {depends_on} {self.config.identity()}",
            on_epoch=context.reporter(self.name),
        )
        self.history[self.name] = state.history


class FactorModel(GradientModel):
    """Scores by the dot product of a user and an item embedding.

    A subclass makes a module and hands it to ``_learn``; what is saved are its final embeddings.
    """

    user_embeddings: Tensor  # [users, d]
    item_embeddings: Tensor  # [items, d]

    def _learn(
        self, module: Factors, data: Dataset, context: FitContext, depends_on: str = ""
    ) -> None:
        """Train a module, see :meth:`_train`, and keep its best embeddings."""
        self._train(module, data, context, depends_on)
        with torch.no_grad():
            users, items = module.embeddings()
        # Detached, since a slice of a parameter wants gradients whatever the context.
        self.user_embeddings, self.item_embeddings = users.detach(), items.detach()

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return the user and the item embeddings."""
        return self.user_embeddings, self.item_embeddings

    def item_factors(self) -> Tensor:
        """Return the item embeddings."""
        return self.item_embeddings

    def _score(self, users: Tensor) -> Tensor:
        return self.user_embeddings[users] @ self.item_embeddings.T  # [batch, items]

    def _tensors(self) -> dict[str, Tensor]:
        return {"user_embeddings": self.user_embeddings, "item_embeddings": self.item_embeddings}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.user_embeddings = tensors["user_embeddings"]
        self.item_embeddings = tensors["item_embeddings"]
