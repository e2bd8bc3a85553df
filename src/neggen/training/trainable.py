"""What the training loop can train: modules with a loss and a scorer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neggen.evaluation.ranking import Scorer
from neggen.negatives.base import Batch, Sampler

Measure = Callable[[Scorer], dict[str, float]]
"""A scorer to its validation figures."""


class Trainable(nn.Module, ABC):
    """A module that the loop can train: it has a loss, and a scorer."""

    sampler: Sampler | None
    """Proposes the negatives of every batch; without one, batches have none."""
    rankings: int = 1
    """How many rankings :meth:`validate` makes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_module("sampler", None)

    def begin_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Prepare for epoch ``epoch``, from 1; what is drawn here is drawn again on a resume."""
        if self.sampler is not None:
            self.sampler.begin_epoch(epoch)

    @property
    def by_row(self) -> bool:
        """Whether the loss is a mean over rows that do not see each other, nothing drawn for any.

        Several processes then divide the rows of a batch; otherwise each computes all of them.
        """
        return False

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss of a batch, a scalar; draw only from ``generator``."""

    @abstractmethod
    def scorer(self) -> Scorer:
        """Return what scores all items for a batch of users under the present weights."""

    def validate(self, measure: Measure) -> dict[str, float]:
        """Return the validation figures of the present weights.

        A module with settings to choose on validation overrides this, tries them with ``measure``,
        and keeps the best one in a buffer.
        """
        return measure(self.scorer())

    def settle(self) -> None:
        """Take what would be chosen on validation where there is none; the loop ends with it.

        A module that overrides :meth:`validate` overrides this, too.
        """


class Factors(Trainable):
    """A module whose score is the dot product, or the cosine, of a user and an item embedding."""

    cosine: bool = False
    """Whether it ranks by cosines."""

    @abstractmethod
    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return user ``[users, d]`` and item ``[items, d]`` embeddings."""

    def ranking_embeddings(self) -> tuple[Tensor, Tensor]:
        """Return embeddings whose dot products are the scores, shaped as :meth:`embeddings`."""
        users, items = self.embeddings()
        return (F.normalize(users), F.normalize(items)) if self.cosine else (users, items)

    def scorer(self) -> Scorer:
        """Return the scorer of the present embeddings, which are computed once."""
        return dot_scorer(*self.ranking_embeddings())


def dot_scorer(users: Tensor, items: Tensor) -> Scorer:
    """Return a scorer for user ``[users, d]`` and item ``[items, d]`` embeddings."""
    return lambda batch: users[batch] @ items.T
