"""MixGCF: negatives mixed from the positive and, hop by hop, from several items (KDD 2021)."""

from __future__ import annotations

import torch
from pydantic import Field

from neggen.negatives.base import Batch, ChosenConfig, Draw, Sampler
from neggen.negatives.view import View


class MixGCFConfig(ChosenConfig):
    """Settings of MixGCF; the default is that of the authors' code."""

    candidates: int = Field(64, ge=1)
    """M, how many unseen items are drawn to mix from; the authors take 16, 32 and 64 by data."""


class MixGCF(Sampler):
    """Mixes a negative of every row (Huang et al. 2021, KDD).

    With embeddings e^(l) after l hops, for every l on its own:

    - Positive mixing moves every candidate towards the positive,
      e′_n^(l) = a^(l) e_p^(l) + (1 − a^(l)) e_n^(l), with a^(l) uniform in (0, 1) a row.
    - Hop mixing takes the candidate that scores highest, argmax_n e_u · e′_n^(l), where e_u is the
      final embedding of the user.

    The negative is the mean of what was taken over l. Gradients reach the positive and all
    candidates taken, not the choice. The positive adds the same to all scores of a row, so e_u ·
    e_n^(l) decides, and only what is taken need be mixed. Without propagation there is one hop.

    As in the authors' code (github.com/huangtinglin/MixGCF) with one negative (K = 1) and mean
    pooling; but what is regularized is the item taken at l = 0, and not its mix.

    A step costs M · (L + 1) dot products of width d a row.
    """

    name = "mixgcf"
    config_class = MixGCFConfig
    sees_model = True
    by_hop = True
    config: MixGCFConfig

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return one mixed negative a row."""
        best = view.scores_by_hop(batch.users, batch.negatives).max(2).indices  # [hops, batch]
        taken = batch.negatives.gather(1, best.T)  # [batch, hops]
        shares = torch.rand(taken.shape, generator=generator, device=taken.device).T
        taken = taken.T  # [hops, batch], as the shares
        # Looked up together: one lookup a hop.
        both = torch.stack([batch.positives.expand_as(taken), taken], dim=1)  # [hops, 2, batch]
        mixed = [
            torch.lerp(negatives, positives, share[:, None])  # [batch, d]
            for share, (positives, negatives) in zip(
                shares, view.items_each_at_its_hop(both), strict=True
            )
        ]
        return Draw(taken[0, :, None], torch.stack(mixed).mean(0)[:, None])
