"""Losses as pure functions of scores or embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def separation(effects: Tensor, contexts: Tensor) -> Tensor:
    """How much effects point the way of their contexts: mean of |cos(c, s)|.

    Args:
        effects: c, ``[batch, d]``.
        contexts: s, ``[batch, d]``.
    """
    return F.cosine_similarity(effects, contexts, dim=-1).abs().mean()


def counterfactual(users: Tensor, effects: Tensor, counterfactuals: Tensor) -> Tensor:
    """How often a changed item would win: mean of −log σ(u · (c − n)) over the n that there are.

    Args:
        users: u, ``[batch, d]``.
        effects: c, ``[batch, d]``.
        counterfactuals: n, ``[batch, completions, d]``; a zero one is none.
    """
    margin = torch.einsum("bd,bkd->bk", users, effects[:, None] - counterfactuals)
    there = counterfactuals.any(-1)  # [batch, completions]
    return (F.softplus(-margin) * there).sum() / there.sum().clamp(min=1)


def info_nce(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
    items: Tensor | None = None,
) -> Tensor:
    """InfoNCE with cosine similarity, own negatives and in-batch negatives.

    ``−log(e^{cos(a,p)/τ} / (e^{cos(a,p)/τ} + Σ e^{cos(a,n)/τ} + Σ_j e^{cos(a,p_j)/τ}))``, with the
    positive in the denominator (van den Oord et al. 2018, arXiv 1807.03748).

    Args:
        anchors: ``[batch, d]``.
        positives: ``[batch, d]``; those of the other rows serve as negatives too.
        negatives: each row's own negatives, ``[batch, completions, d]``; a zero one is none.
        temperature: τ.
        items: what each row is about, ``[batch]``; rows about the same item are not negatives of
            each other.
    """
    anchors = F.normalize(anchors, dim=-1)
    positives = F.normalize(positives, dim=-1)
    none = ~negatives.any(-1)  # [batch, completions]
    negatives = F.normalize(negatives, dim=-1)
    in_batch = anchors @ positives.T  # [batch, batch], the diagonal is the positive
    if items is not None:
        twins = (items[:, None] == items).fill_diagonal_(False)  # [batch, batch]
        in_batch = in_batch.masked_fill(twins, -torch.inf)
    own = torch.einsum("bd,bkd->bk", anchors, negatives)  # [batch, completions]
    own = own.masked_fill(none, -torch.inf)
    logits = torch.cat([in_batch, own], dim=1) / temperature
    return F.cross_entropy(logits, torch.arange(len(anchors), device=anchors.device))
