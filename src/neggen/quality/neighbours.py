"""The real items whose descriptions are nearest to each description and each negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neggen.data.vectors import ItemVectors
from neggen.negatives.false_negatives import item_blocks, unit

K = 10
"""Neighbours looked at."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest descriptions of *other* items, in the same modality, nearest first.

    On the second axis, 0 is the item's description and 1 + k its k-th negative.

    Attributes:
        items: int64 ``[items, 1 + completions, modalities, k]``; −1 where there is none, since the
            item or all others lack the modality.
        cosines: float32 of the same shape; NaN where there is none.
    """

    items: NDArray[np.int64]
    cosines: NDArray[np.float32]

    @property
    def cohesion(self) -> NDArray[np.float32]:
        """The mean cosine to the neighbours, ``[items, 1 + completions, modalities]``."""
        found = np.isfinite(self.cosines)
        sums = np.where(found, self.cosines, 0).sum(-1)
        counts = found.sum(-1)
        means = np.full(sums.shape, np.nan, dtype=np.float32)
        np.divide(sums, counts, out=means, where=counts > 0)
        return means


def nearest_items(vectors: ItemVectors, k: int = K) -> Neighbours:
    """Find the ``k`` nearest other items of every description and negative, exactly."""
    texts = unit(np.concatenate([vectors.positive[:, None], vectors.negative], axis=1))
    shape = (*texts.shape[:3], k)
    items = np.full(shape, -1, dtype=np.int64)
    cosines = np.full(shape, np.nan, dtype=np.float32)
    for m in range(len(vectors.modalities)):
        present = np.flatnonzero(vectors.mask[:, m])
        real = texts[present, 0, m]  # [present, d]
        count = min(k, len(present) - 1)
        if count < 1:
            continue
        for block in item_blocks(len(present)):
            own = present[block]
            rows = np.arange(len(own))
            for text in range(texts.shape[1]):
                similar = texts[own, text, m] @ real.T  # [block, present]
                similar[rows, rows + block.start] = -np.inf
                best = np.argpartition(-similar, count - 1, axis=1)[:, :count]
                found = np.take_along_axis(similar, best, axis=1)
                order = np.argsort(-found, axis=1, kind="stable")
                items[own, text, m, :count] = present[np.take_along_axis(best, order, axis=1)]
                cosines[own, text, m, :count] = np.take_along_axis(found, order, axis=1)
    return Neighbours(items, cosines)
