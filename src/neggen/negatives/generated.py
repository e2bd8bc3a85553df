"""NegGen's own negatives as items: those that the generated negative of a positive describes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.errors import NegGenError
from neggen.negatives.base import DrawnConfig, Sampler
from neggen.negatives.false_negatives import item_blocks, unit


class GeneratedConfig(DrawnConfig):
    """Settings of generated negatives."""

    nearest: int = Field(10, ge=1)
    """How many items nearest to a generated negative are drawn from."""


class Generated(Sampler):
    """Draws real items that look like what the language model wrote in contrast to a positive i.

    With descriptions x⁺ and completions k of the generated negative x⁻ in modalities m::

        s(i, j) = max over k of the mean over m of cos(x⁻_ikm, x⁺_jm)     m that both i and j have
        N(i)    = the ``nearest`` items j ≠ i with the highest s(i, j) that somebody has
        j       ~ uniform(N(i) without what u has), with replacement

    Where u has all of N(i), or i has no generated negative, j is any unseen item, uniformly.

    This is ours: NegGen (arXiv 2501.15183) learns from x⁻ themselves, this hands them to any model
    that learns from items. Preparation compares all pairs of items in blocks; a step takes a binary
    search for each of the nearest.
    """

    name = "generated"
    config_class = GeneratedConfig
    config: GeneratedConfig
    needs_vectors = True

    def __init__(self, config: Any, data: Dataset, device: torch.device | str = "cpu") -> None:
        """See :class:`Sampler`; needs ``data.vectors``."""
        super().__init__(config, data, device)
        if data.vectors is None:
            raise NegGenError(
                "The sampler 'generated' needs encoded descriptions and negatives, which the data "
                "lack; run neggen generate and neggen encode, or attach records and vectors with "
                "data.replace(…)."
            )
        train = data.train.sorted_indices()
        users, self._items = train.shape
        row = np.repeat(np.arange(users, dtype=np.int64), np.diff(train.indptr))
        self._keys = torch.from_numpy(row * self._items + train.indices).to(device)
        self._nearest = _nearest(data.vectors, self._used, self.config.nearest)  # [items, nearest]

    def propose(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Tensor:
        """Return unseen items near the negatives of the positives, int64 ``[batch, negatives]``."""
        near = self._nearest[positives]  # [batch, nearest]
        wanted = users[:, None] * self._items + near
        at = torch.searchsorted(self._keys, wanted).clamp(max=len(self._keys) - 1)
        free = (near >= 0) & (self._keys[at] != wanted)
        counted = free.cumsum(1)  # [batch, nearest]
        left = counted[:, -1:]  # [batch, 1]
        share = torch.rand(
            (len(users), self.config.negatives), generator=generator, device=users.device
        )
        rank = (share * left).long()  # uniform over 0 … left − 1, [batch, negatives]
        found = torch.searchsorted(counted, rank + 1).clamp(max=near.shape[1] - 1)
        return torch.where(
            left > 0, near.gather(1, found), self.unseen(users, self.config.negatives, generator)
        )


def _nearest(vectors: ItemVectors, used: Tensor, count: int) -> Tensor:
    """Return N(i) of every item among the used ones, int64 ``[items, nearest]``, −1 for none."""
    mask = torch.from_numpy(vectors.mask).to(used.device, torch.float32)  # [items, modalities]
    positive = torch.from_numpy(unit(vectors.positive)).to(used.device) * mask[..., None]
    negative = torch.from_numpy(unit(vectors.negative)).to(used.device) * mask[:, None, :, None]
    others = positive[used].flatten(1).T  # [modalities · d, used]
    found = []
    for block in item_blocks(len(mask)):
        cosines = (negative[block].flatten(2) @ others).amax(1)  # sums over modalities
        common = mask[block] @ mask[used].T  # how many modalities both have, [block, used]
        own = torch.arange(block.start, block.stop, device=used.device)[:, None] == used
        scores = (cosines / common).masked_fill((common == 0) | own, -torch.inf)
        best = scores.topk(min(count, len(used)))
        found.append(torch.where(best.values > -torch.inf, used[best.indices], -1))
    return torch.cat(found)
