"""ANS: candidates made harder where they are easy, by noise towards the positive (RecSys 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from neggen.negatives.base import Batch, ChosenConfig, Draw, Sampler
from neggen.negatives.gates import linear_layers
from neggen.negatives.view import View

NOISE = 0.1
"""The length of the longest noise, as in the authors' code."""


class ANSConfig(ChosenConfig):
    """Settings of augmented negative sampling; the authors' code names no defaults."""

    candidates: int = Field(8, ge=1)
    """M, how many unseen items are drawn to augment."""
    epsilon: float = Field(1.0, ge=0)
    """ε, how much the gain of score by augmentation counts beside the score."""
    gamma: float = Field(0.1, ge=0)
    """γ, the weight of the losses that train the gates."""


class ANS(Sampler):
    """Augments the easy factors of candidates (Zhao et al. 2023, arXiv 2308.05972).

    With embeddings e after l hops, for every l on its own, σ the sigmoid and ⊙ elementwise:

    - A gate g = σ(W_i e_n ⊙ W_u e_u), each W with a bias, takes candidate and positive apart: h = e
      ⊙ g is hard, e − h is easy.
    - Noise of direction sign((e_p − h_p) − (e_n − h_n)) ⊙ v and length 0.1 σ(1 / w(h_n ⊙ h_p)) is
      added to the candidate, with v uniform in [0, 1)^d made a unit vector, and w affine.
    - The candidate argmax_n e_u · e′_n + ε (e_u · e′_n − e_u · e_n) is taken, with e′_n = e_n +
      noise.

    The negative is the mean of e′_n over l, with gradients, those of its noise included. The gates
    learn from γ times the sum of log(1 + Σ_n exp(e_u · (e_n − h_n) − e_u · h_n)), ‖h_n − h_p‖, and
    Σ_l ‖(e_p − h_p) ⊙ (e_n − h_n)‖, each a mean over the rest of rows, candidates and hops.

    As in the authors' code (github.com/Asa9aoTK/ANS-Recbole), with two differences: it ranks by the
    sum over l of e_u^(l) · e^(l), where a model here ranks by the final embeddings, the means over
    l; and it regularizes all candidates, where here it is the one taken at l = 0.

    A step costs M · (L + 1) products with a matrix ``[d, d]`` a row, and keeps as many embeddings
    for the gradient.
    """

    name = "ans"
    config_class = ANSConfig
    sees_model = True
    by_hop = True
    config: ANSConfig
    gates: nn.ModuleDict

    def prepare(self, dim: int, seed: int) -> None:
        """Make the gates."""
        widths = {"user": dim, "item": dim, "margin": 1}
        self.gates = linear_layers(dim, seed, self._used.device, **widths)

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return one augmented negative a row, and the loss of the gates."""
        users = view.users_by_hop(batch.users)[:, None]  # [batch, 1, hops, d]
        positives = view.items_by_hop(batch.positives)[:, None]  # [batch, 1, hops, d]
        candidates = view.items_by_hop(batch.negatives)  # [batch, M, hops, d]
        gate = torch.sigmoid(self.gates["item"](candidates) * self.gates["user"](users))
        hard, hard_positives = candidates * gate, positives * gate
        easy, easy_positives = candidates - hard, positives - hard_positives

        margin = torch.sigmoid(1 / self.gates["margin"](hard * hard_positives))  # […, 1]
        direction = torch.rand(candidates.shape, generator=generator, device=candidates.device)
        direction = F.normalize(direction, dim=-1) * torch.sign(easy_positives - easy)
        augmented = candidates + NOISE * margin * direction
        with torch.no_grad():
            score, own = (users * augmented).sum(3), (users * candidates).sum(3)
            taken = (score + self.config.epsilon * (score - own)).argmax(1, keepdim=True)
        place = taken[..., None].expand(-1, -1, -1, candidates.shape[-1])  # [batch, 1, hops, d]
        negatives = augmented.gather(1, place).mean(2)  # [batch, 1, d]

        penalty = None
        if self.config.gamma > 0:
            penalty = self.config.gamma * (
                F.softplus(torch.logsumexp((users * (easy - hard)).sum(3), dim=1)).mean()
                + F.pairwise_distance(hard, hard_positives).mean()
                + (easy_positives * easy).norm(dim=3).sum(2).mean()
            )
        return Draw(batch.negatives.gather(1, taken[:, :, 0]), negatives, penalty=penalty)
