"""What a sampler of negatives does: it proposes items, then takes some of them or makes new ones.

Proposing needs no model, so it may happen for several batches at once (unless ``ahead`` is False);
taking sees the embeddings under the present weights. Uniform sampling only proposes; dynamic
sampling (DNS) proposes many and takes the one that scores highest; MixGCF proposes many and makes
an embedding that belongs to no item.
"""

from __future__ import annotations

from abc import ABC
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from neggen.config import Config
from neggen.data.dataset import Dataset
from neggen.negatives.unseen import UnseenItems, check_left
from neggen.negatives.view import View


class Batch(NamedTuple):
    """One step: users, an item that each has, and items proposed as negatives.

    Attributes:
        users: int64 ``[batch]``.
        positives: int64 ``[batch]``.
        negatives: int64 ``[batch, candidates]``; no column where nothing is sampled.
    """

    users: Tensor
    positives: Tensor
    negatives: Tensor


class Draw(NamedTuple):
    """The negatives that a step contrasts its positives with.

    Attributes:
        items: int64 ``[batch, k]``, or ``[k]`` where all rows have the same.
        embeddings: float ``[batch, k, d]`` where the sampler made them up; None for those of
            ``items``, which then stand for them in the regularization alone.
        allowed: bool ``[batch, k]``, False for what is no negative of its row; None for all.
        log_q: how likely each item is drawn, as a logarithm up to a constant, float of the shape of
            ``items``, for losses that correct for it; None for the same chance for all.
        positive_log_q: the same of the positives, float ``[batch]``.
        penalty: a scalar that is added to the loss, such as one that trains the sampler.
    """

    items: Tensor
    embeddings: Tensor | None = None
    allowed: Tensor | None = None
    log_q: Tensor | None = None
    positive_log_q: Tensor | None = None
    penalty: Tensor | None = None


class SamplerConfig(Config):
    """Settings of a sampler; a sampler with more settings subclasses this."""

    @property
    def count(self) -> int:
        """How many negatives a positive gets."""
        return 1

    @property
    def proposed(self) -> int:
        """How many unseen items are proposed for a positive."""
        return self.count


class DrawnConfig(SamplerConfig):
    """Settings of a sampler that takes what it proposes."""

    negatives: int = Field(1, ge=1)
    """How many negatives a positive gets; softmax losses want many."""

    @property
    def count(self) -> int:
        """How many negatives a positive gets."""
        return self.negatives


class ChosenConfig(SamplerConfig):
    """Settings of a sampler that chooses by the model among what it proposes."""

    candidates: int = Field(16, ge=1)
    """How many unseen items are drawn to choose from."""

    @property
    def proposed(self) -> int:
        """How many unseen items are proposed for a positive."""
        return self.candidates


class Sampler(nn.Module, ABC):
    """Base class of samplers. One file, one class, registered under its name.

    A sampler is a module, so that what it learns or remembers is trained and saved with the model.
    It never draws an item that the user has in training, or one that nobody has: training would
    teach that new items are bad.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[SamplerConfig]] = SamplerConfig
    sees_model: ClassVar[bool] = False
    """Whether what is drawn is known in ``choose`` alone, such as by looking at embeddings, so that
    only a model that ranks by its own embeddings can be trained with it."""
    ahead: ClassVar[bool] = True
    """Whether negatives of several batches may be proposed before the first of them is chosen."""
    by_hop: bool = False
    """Whether it looks at them hop by hop."""
    needs_vectors: ClassVar[bool] = False
    """Whether it learns from encoded descriptions and negatives."""

    def __init__(self, config: Any, data: Dataset, device: torch.device | str = "cpu") -> None:
        """Prepare for the training part of ``data``.

        Args:
            config: the settings, of the class ``config_class``.
            data: the split data.
            device: where batches are.

        Raises:
            NegGenError: If a user has every item, or the data lack what the sampler needs.
        """
        super().__init__()
        self.config = config
        used = np.unique(data.train.indices)
        check_left(np.diff(data.train.indptr), len(used))
        self._train, self._device = data.train, device
        self._used = torch.from_numpy(used.astype(np.int64)).to(device)  # [used items]

    @cached_property
    def _unseen(self) -> UnseenItems:
        """What draws uniformly, made for the samplers that do: 8 bytes an interaction."""
        return UnseenItems(self._train[:, self._used.cpu().numpy()], self._device)

    @classmethod
    def made_of(cls, config: Any) -> list[type[Sampler]]:
        """Return what draws under ``config``: this class, unless it is made of others."""
        return [cls]

    def prepare(self, dim: int, seed: int) -> None:
        """Make what depends on the model, before training; nothing unless a subclass needs it.

        Args:
            dim: the width of the embeddings.
            seed: that of the initial weights.
        """

    @property
    def by_row(self) -> bool:
        """Whether what a row gets is settled once it is proposed, whatever the rows around it."""
        return type(self).choose is Sampler.choose

    def unseen(self, users: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Return items that the users do not have, uniformly, int64 ``[batch, count]``."""
        return self._used[self._unseen.sample(users, count, generator)]

    def propose(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Tensor:
        """Return candidates for each row of a batch, int64 ``[batch, candidates]``.

        Args:
            users: int64 ``[batch]``.
            positives: an item that each has, int64 ``[batch]``.
            generator: the only source of randomness.
        """
        return self.unseen(users, self.config.proposed, generator)

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return the negatives of a batch; all that was proposed unless a subclass chooses."""
        return Draw(batch.negatives)

    def begin_epoch(self, epoch: int) -> None:
        """Know that epoch ``epoch`` begins, from 1."""
