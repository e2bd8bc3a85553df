"""AHNS: the better a positive scores already, the easier its negative (AAAI 2024)."""

from __future__ import annotations

import torch
from pydantic import Field

from neggen.negatives.base import Batch, ChosenConfig, Draw, Sampler
from neggen.negatives.view import View


class AHNSConfig(ChosenConfig):
    """Settings of adaptive hardness; the defaults are those of the authors' code."""

    candidates: int = Field(32, ge=1)
    """M, how many unseen items are drawn to choose from."""
    alpha: float = Field(1.0, ge=0)
    """α, what is added to the positive's score, so that it is above zero for most."""
    beta: float = Field(0.1, gt=0)
    """β, the hardness of the negative of a positive with s⁺ + α = 1."""
    power: int = Field(-2, lt=0)
    """p; the smaller, the faster the hardness falls as s⁺ rises. At −1 it is β for all."""


class AHNS(Sampler):
    """Takes, of M unseen items, argmin |s⁻ − β (s⁺ + α)^(p+1)| (Lai et al. 2024, arXiv 2401.05191).

    Scores are dot products of the final embeddings, as in the authors' code
    (github.com/Riwei-HEU/AHNS), whose choice this is to the letter; no gradient flows through it.

    A step costs M dot products of width d a row.
    """

    name = "ahns"
    config_class = AHNSConfig
    sees_model = True
    config: AHNSConfig

    @torch.no_grad()
    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return the candidate whose score is nearest to the wanted one, ``[batch, 1]``."""
        positive = view.scores(batch.users, batch.positives[:, None])  # [batch, 1]
        negative = view.scores(batch.users, batch.negatives)  # [batch, M]
        wanted = self.config.beta * (positive + self.config.alpha) ** (self.config.power + 1)
        taken = (negative - wanted).abs().argmin(1, keepdim=True)
        return Draw(batch.negatives.gather(1, taken))
