"""DENS: what of an item matters to a user is learned, and negatives lack it (WSDM 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from neggen.negatives.base import Batch, ChosenConfig, Draw, Sampler
from neggen.negatives.gates import linear_layers
from neggen.negatives.view import View


class DENSConfig(ChosenConfig):
    """Settings of disentangled negative sampling; the defaults are those of the authors' code."""

    candidates: int = Field(6, ge=1)
    """M, how many unseen items are drawn to choose from."""
    warmup: int = Field(100, ge=1)
    """T₀, the epochs over which a candidate's own score fades from the choice."""
    gamma: float = Field(0.3, ge=0)
    """γ, the weight of the loss that trains the gates."""


class DENS(Sampler):
    """Disentangles items and takes negatives by their irrelevant factors (Lai et al. 2023, WSDM).

    With embeddings e after l hops, for every l on its own, σ the sigmoid and ⊙ elementwise:

    - Relevant factors: r_p = e_p ⊙ σ(W_i e_p + W_u e_u), r_n = e_n ⊙ σ(W_n e_n + W_p r_p), each W
      with a bias; what is left, e − r, is irrelevant.
    - The candidate argmax_n e_u · ((1 − min(1, t/T₀)) e_n − r_n) is taken in epoch t, from 0: at
      first one that scores high by irrelevant factors, at last one of low relevance.

    The negative is the mean over l of e_n of what was taken; the choice carries no gradient. The
    gates learn from γ/4 of BPR on four pairs of mean factors: r_p above p's irrelevant ones,
    irrelevant ones of n above r_n, r_p above r_n, and irrelevant ones of n above those of p.

    As in the authors' code (github.com/Riwei-HEU/DENS) with one negative (K = 1) and mean pooling.

    A step costs M · (L + 1) products with a matrix ``[d, d]`` a row.
    """

    name = "dens"
    config_class = DENSConfig
    sees_model = True
    by_hop = True
    config: DENSConfig
    gates: nn.ModuleDict

    def prepare(self, dim: int, seed: int) -> None:
        """Make the gates."""
        widths = dict.fromkeys(("user", "item", "positive", "negative"), dim)
        self.gates = linear_layers(dim, seed, self._used.device, **widths)

    def begin_epoch(self, epoch: int) -> None:
        """Let the candidates' own scores fade."""
        self._own = 1 - min(1.0, (epoch - 1) / self.config.warmup)

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return one negative a row, of the item taken at each hop, and the loss of the gates."""
        users = view.users_by_hop(batch.users)  # [batch, hops, d]
        positives = view.items_by_hop(batch.positives)  # [batch, hops, d]
        relevant = positives * torch.sigmoid(
            self.gates["item"](positives) + self.gates["user"](users)
        )
        with torch.no_grad():
            candidates = view.items_by_hop(batch.negatives)  # [batch, M, hops, d]
            selecting = self._own * candidates - self._relevant(candidates, relevant[:, None])
            scores = (users[:, None] * selecting).sum(3)  # [batch, M, hops]
            taken = batch.negatives.gather(1, scores.argmax(1))  # [batch, hops]
        negatives = torch.stack(view.items_each_at_its_hop(taken.T), dim=1)  # [batch, hops, d]
        penalty = None
        if self.config.gamma > 0:
            pairs = ((positives, relevant), (negatives, self._relevant(negatives, relevant)))
            penalty = self.config.gamma * _contrast(view.users(batch.users), *pairs)
        return Draw(taken[:, :1], negatives.mean(1, keepdim=True), penalty=penalty)

    def _relevant(self, negatives: Tensor, relevant: Tensor) -> Tensor:
        """Return r_n, by negatives and r_p, each ``[…, hops, d]``."""
        gate = self.gates["negative"](negatives) + self.gates["positive"](relevant)
        return negatives * torch.sigmoid(gate)


def _contrast(
    users: Tensor, positive: tuple[Tensor, Tensor], negative: tuple[Tensor, Tensor]
) -> Tensor:
    """Return the mean of four BPR losses.

    Args:
        users: final embeddings, ``[batch, d]``.
        positive: embeddings and their relevant factors, each ``[batch, hops, d]``.
        negative: the same.
    """
    (p_whole, p), (n_whole, n) = (
        [(users * each.mean(1)).sum(1) for each in pair] for pair in (positive, negative)
    )  # scores, each [batch]
    p_rest, n_rest = p_whole - p, n_whole - n
    below_above = ((p_rest, p), (n, n_rest), (n, p), (p_rest, n_rest))
    return torch.stack([F.softplus(below - above) for below, above in below_above]).mean()
