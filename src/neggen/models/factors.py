"""Recommenders trained by gradient, and those whose score is a dot product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import ModelConfig, RankingConfig, SampledConfig, TrainConfig
from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.models.base import FitContext, Recommender
from neggen.models.described import described
from neggen.models.fold_in import embed, fit_fold_in
from neggen.negatives import sampler_config
from neggen.negatives.base import Sampler, SamplerConfig
from neggen.training.loop import RULES, train
from neggen.training.ranking_losses import ranking_loss
from neggen.training.trainable import Factors, Trainable

LEARNED = ("user_embeddings", "item_embeddings", "fold_in")


class GradientModel(Recommender):
    """A recommender whose module the training loop trains."""

    config: TrainConfig

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        """Take a configuration, or single settings such as ``seed=1``.

        Raises:
            NegGenError: For a setting that is wrong, or a sampler and a loss that do not fit.
        """
        super().__init__(config, **settings)
        if isinstance(self.config, SampledConfig):
            check_sampling(self.config)

    def wants_vectors(self, data: Dataset) -> bool:
        """Return whether it, or its sampler, learns from encoded descriptions of these data."""
        return super().wants_vectors(data) or self._samples_by_vectors()

    def _samples_by_vectors(self) -> bool:
        if not isinstance(self.config, SampledConfig):
            return False
        cls, sampler = sampler_config(self.config.sampler)
        return any(each.needs_vectors for each in cls.made_of(sampler))

    def _train(
        self, module: Trainable, data: Dataset, context: FitContext, depends_on: str = ""
    ) -> None:
        """Train a module and leave it with its best weights.

        Args:
            module: what to train.
            data: the split data.
            context: where the checkpoint of the phase named after this model goes.
            depends_on: identifies whatever else than data, split and settings decides the result.
        """
        if isinstance(self.config, SampledConfig):
            cls, sampler = sampler_config(self.config.sampler)
            if self._samples_by_vectors():
                data, vectors = described(data, seed=self.config.seed, device=self.config.device)
                depends_on = f"{depends_on} {vectors.content_hash}"
            module.sampler = cls(sampler, data, self.config.device)
            module.sampler.prepare(self._width(module, cls, sampler), self.config.seed)
        if not data.holds_out and "epochs" not in self.config.model_fields_set:
            raise NegGenError(
                "Nothing validates on the split 'everything', so set epochs, or take those of a "
                "run with neggen refit RUN."
            )
        identity = (RULES, data.content_hash, data.split_hash, depends_on, self.config.identity())
        state = train(
            module,
            data.train,
            data.valid if data.holds_out else None,
            self.config,
            checkpoint=context.checkpoint(self.name),
            fingerprint=" ".join(map(str, identity)),
            on_epoch=context.reporter(self.name),
        )
        self.history[self.name] = state.history

    def _width(self, module: Trainable, cls: type[Sampler], sampler: SamplerConfig) -> int:
        """Return the width of the embeddings that a sampler looks at; some models join several."""
        if not (
            isinstance(module, Factors) and any(each.sees_model for each in cls.made_of(sampler))
        ):
            return self.config.dim
        with torch.no_grad():
            return module.embeddings()[0].shape[1]


def check_sampling(config: SampledConfig) -> None:
    """Check that there are such a sampler and such a loss, and that they make sense together.

    Raises:
        NegGenError: If not.
    """
    cls, sampler = sampler_config(config.sampler)
    if not isinstance(config, RankingConfig):
        for each in cls.made_of(sampler):
            if each.sees_model:
                raise NegGenError(
                    f"The sampler '{each.name}' works with models that rank by the embeddings they "
                    f"are learning, which this one does not; take uniform, popularity or generated."
                )
        return
    loss = ranking_loss(config.loss)
    if sampler.count < loss.least_negatives:
        raise NegGenError(
            f"The loss '{loss.name}' contrasts a positive with several negatives, but the sampler "
            f"'{cls.name}' gives it {sampler.count}; take in-batch, or uniform with negatives = 64."
        )


class FactorModel(GradientModel):
    """Scores by the dot product of a user and an item embedding.

    A subclass makes a module and hands it to ``_learn``; what is saved are its final embeddings.
    """

    user_embeddings: Tensor  # [users, d]
    item_embeddings: Tensor  # [items, d]
    fold_in: Tensor  # [d + 1, d], see `neggen.models.fold_in`

    def _learn(
        self, module: Factors, data: Dataset, context: FitContext, depends_on: str = ""
    ) -> None:
        """Train a module, see :meth:`_train`, and keep its best embeddings."""
        if isinstance(self.config, RankingConfig):
            module.cosine = self.config.similarity == "cosine"
        self._train(module, data, context, depends_on)
        with torch.no_grad():
            users, items = module.ranking_embeddings()
        # Detached, since a slice of a parameter wants gradients whatever the context.
        self.user_embeddings, self.item_embeddings = users.detach(), items.detach()
        self.fold_in = fit_fold_in(data.train, self.user_embeddings, self.item_embeddings)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return the user and the item embeddings."""
        return self.user_embeddings, self.item_embeddings

    def item_factors(self) -> Tensor:
        """Return the item embeddings."""
        return self.item_embeddings

    def item_vectors(self, items: Tensor) -> Tensor:
        """Return the embeddings of some items, ``[batch, d]``."""
        return self.item_embeddings[items]

    def embed_histories(self, histories: csr_matrix) -> Tensor:
        """Return embeddings of people by what they used, ``[batch, items]`` to ``[batch, d]``."""
        return embed(histories, self.item_embeddings, self.fold_in)

    def _score(self, users: Tensor) -> Tensor:
        return self.user_embeddings[users] @ self.item_embeddings.T  # [batch, items]

    def _score_histories(self, histories: csr_matrix) -> Tensor:
        return self.embed_histories(histories) @ self.item_embeddings.T  # [batch, items]

    def _tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in LEARNED}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name in LEARNED:
            setattr(self, name, tensors[name])
