"""Losses that rank a positive above its negatives, by the name that settings call them.

Each takes scores, which are dot products or, if it wants them, cosines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from neggen.config import Config
from neggen.negatives.base import Draw
from neggen.registry import Registry

LOSSES: Registry[RankingLoss] = Registry("ranking loss", "neggen.losses", {})
"""The losses by name, for ``loss = {name = "ssm", temperature = 0.1}``."""


class RankingLoss(Config, ABC):
    """Base class: a loss is its settings, and can be called."""

    name: ClassVar[str]
    cosine: ClassVar[bool] = False
    """Whether it takes cosines, so that training does not depend on the lengths of embeddings."""
    least_negatives: ClassVar[int] = 1
    """How many negatives a positive must have for it to make sense."""

    @property
    def correction(self) -> float:
        """How much of log q is taken off a score, for negatives of unequal chances."""
        return 0.0

    def ready(self, embeddings: Tensor) -> Tensor:
        """Return embeddings ``[rows, d]`` whose dot products it takes: of unit length for cosines.

        Of whole tables rather than of what a batch looks up, which may be many times as much.
        """
        return F.normalize(embeddings, dim=-1) if self.cosine else embeddings

    @abstractmethod
    def __call__(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar.

        Args:
            positive: scores of the positives, ``[batch]``.
            negative: scores of their negatives, ``[batch, k]``; −∞ for what is none.
        """


@LOSSES.register
class BPR(RankingLoss):
    """Bayesian personalized ranking: −log σ(s⁺ − s⁻), mean over negatives (Rendle et al. 2009)."""

    name = "bpr"

    def __call__(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the mean loss."""
        return _mean(F.softplus(negative - positive[:, None]), negative)


@LOSSES.register
class Hinge(RankingLoss):
    """max(0, margin − s⁺ + s⁻), mean over negatives (Weimer et al. 2008; Hsieh et al. 2017)."""

    name = "hinge"
    margin: float = Field(1.0, gt=0)
    """By how much a positive should score above a negative."""

    def __call__(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the mean loss."""
        return _mean(F.relu(self.margin + negative - positive[:, None]), negative)


class _Softmax(RankingLoss):
    """A softmax over cosines / τ, whose right answer is the positive."""

    cosine = True
    least_negatives = 2
    temperature: float = Field(0.1, gt=0)
    """τ."""

    def __call__(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the mean loss."""
        logits = torch.cat([positive[:, None], negative], dim=1) / self.temperature
        return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


@LOSSES.register
class InfoNCE(_Softmax):
    """−log(e^{s⁺/τ} / (e^{s⁺/τ} + Σ e^{s⁻/τ})) as it stands (van den Oord et al. 2018)."""

    name = "infonce"


@LOSSES.register
class SampledSoftmax(_Softmax):
    """InfoNCE that corrects for how negatives were drawn (SSM; Wu et al. 2022, arXiv 2201.02327).

    Every s/τ, that of the positive too, becomes s/τ − log q, with q the chance that the item is
    drawn: an estimate of the softmax over all items (Yi et al. 2019, section 3). Where all items
    have the same chance, nothing changes; the code of Wu et al. never corrects, and is InfoNCE.
    """

    name = "ssm"

    @property
    def correction(self) -> float:
        """τ, since scores are divided by it afterwards."""
        return self.temperature


@LOSSES.register
class BilateralSoftmax(RankingLoss):
    """BSL: −log(e^{s⁺/τ₁} / (Σ e^{s⁻/τ₁})^{τ₂}), mean (Wu et al. 2024, arXiv 2312.12882).

    With τ₂ = 1 it is the softmax loss without the positive in its sum. This is "reweight" of the
    authors' code, their choice for LightGCN; their "multi" also averages e^{s⁺/τ₁} over positives
    of one user that meet in a batch. A row without negatives does not count.
    """

    name = "bsl"
    cosine = True
    least_negatives = 2
    temperature: float = Field(0.1, gt=0)
    """τ₁."""
    power: float = Field(1.0, gt=0)
    """τ₂, how much the negatives weigh."""

    def __call__(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the mean loss."""
        some = (negative > -torch.inf).any(1)  # [batch]
        negative = negative.masked_fill(~some[:, None], 0)  # or the gradient would be NaN
        total = torch.logsumexp(negative / self.temperature, dim=1)  # [batch]
        losses = self.power * total - positive / self.temperature
        return (losses * some).sum() / some.sum().clamp(min=1)


def ranking_loss(settings: Mapping[str, Any]) -> RankingLoss:
    """Return the loss that ``settings`` name and set.

    Raises:
        NegGenError: If there is no such loss, or it has no such setting.
    """
    cls, rest = LOSSES.pick("loss", settings)
    return cls.build(rest, "loss")


def compare(
    loss: RankingLoss, users: Tensor, positives: Tensor, negatives: Tensor, draw: Draw
) -> Tensor:
    """Score a batch and return its loss, a scalar.

    Args:
        loss: what compares the scores.
        users: embeddings that are :meth:`~RankingLoss.ready`, ``[batch, d]``.
        positives: the same, ``[batch, d]``.
        negatives: the same, ``[batch, k, d]``, or ``[k, d]`` where all rows have the same.
        draw: says which of them are negatives, and how likely each was.
    """
    positive = (users * positives).sum(1)  # [batch]
    negative = _scores(users, negatives)  # [batch, k]
    if loss.correction and draw.log_q is not None and draw.positive_log_q is not None:
        positive = positive - loss.correction * draw.positive_log_q
        negative = negative - loss.correction * draw.log_q
    if draw.allowed is not None:
        negative = negative.masked_fill(~draw.allowed, -torch.inf)
    return loss(positive, negative)


def _scores(users: Tensor, items: Tensor) -> Tensor:
    """Return the products of users ``[batch, d]`` and their items, ``[batch, k]``."""
    if items.dim() == 2:
        return users @ items.T
    if items.shape[1] == 1:  # what a batched product takes ten times as long for
        return (users[:, None] * items).sum(2)
    return torch.einsum("bd,bkd->bk", users, items)


def _mean(values: Tensor, negative: Tensor) -> Tensor:
    """Return the mean of values ``[batch, k]`` over those that are negatives."""
    negatives = negative > -torch.inf
    return (values * negatives).sum() / negatives.sum().clamp(min=1)
