"""What users tell about negatives: are they far from what else the item's users like?

Only training interactions are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neggen.data.vectors import ItemVectors
from neggen.negatives.false_negatives import CoConsumption, item_blocks, unit
from neggen.quality.neighbours import Neighbours

BUCKETS = 2000
"""Steps of the cosine, −1 to 1, in which pairs are counted; quantiles are exact to 0.001."""
QUANTILES = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Bounds of the shares of pairs, by rising cosine, that a lift is given for."""


@dataclass(frozen=True)
class LiftPoint:
    """The lift of the pairs of items whose cosine lies between two quantiles (to 0.001).

    Attributes:
        share_from: the lower quantile.
        share_to: the upper quantile.
        cosine: least cosine of these pairs, to 0.001.
        lift: how many times as often they are used together as pairs of items of their popularity.
    """

    share_from: float
    share_to: float
    cosine: float
    lift: float


@dataclass(frozen=True)
class Preference:
    """What users tell about descriptions and negatives.

    Attributes:
        closer: share of (user, other item) pairs of the item's users for which the negative is
            closer to the other item than the description is, float32 ``[items, completions,
            modalities]``; NaN where there are no such pairs.
        pairs: how many such pairs there are, float64 ``[items, modalities]``.
        counted: pairs, users of pairs and users expected by chance in every bucket of the cosine to
            other items, for descriptions (0) and negatives (1), float64
            ``[2, modalities, 3, BUCKETS]``.
    """

    closer: NDArray[np.float32]
    pairs: NDArray[np.float64]
    counted: NDArray[np.float64]

    def closer_share(self, chosen: NDArray[np.bool_], modality: int) -> float | None:
        """Return the share over all pairs of chosen negatives ``[items, completions]``."""
        chosen = chosen & np.isfinite(self.closer[:, :, modality])
        weights = np.where(chosen, self.pairs[:, modality, None], 0.0)
        if not weights.sum():
            return None
        shares = np.where(chosen, self.closer[:, :, modality], 0.0)
        return float((shares * weights).sum() / weights.sum())

    def cosine_above(self, kind: int, modality: int, share: float) -> float:
        """Return the cosine, to 0.001, that this share of the pairs of a kind lies below."""
        shares = self.counted[kind, modality, 0].cumsum()
        return float(2 * np.searchsorted(shares, share * shares[-1], side="left") / BUCKETS - 1)

    def lift_above(self, kind: int, modality: int, cosine: float) -> float | None:
        """Return the lift of all pairs of a kind from this cosine on; None if there are none."""
        start = round((cosine + 1) * BUCKETS / 2)
        _, users, by_chance = self.counted[kind, modality, :, start:].sum(1)
        return float(users / by_chance) if by_chance else None

    def curve(self, kind: int, modality: int) -> list[LiftPoint]:
        """Return the lift by cosine of descriptions (0) or negatives (1) to other items."""
        pairs, users, by_chance = self.counted[kind, modality]
        if not pairs.sum():
            return []
        shares = pairs.cumsum() / pairs.sum()
        inner = np.searchsorted(shares, QUANTILES[1:-1], side="left") + 1
        bounds = [0, *inner.tolist(), BUCKETS]
        points = []
        for (start, end), (low, high) in zip(pairwise(bounds), pairwise(QUANTILES), strict=True):
            expected = by_chance[start:end].sum()
            if not expected:
                continue
            first = start + np.flatnonzero(pairs[start:end])[0]
            points.append(
                LiftPoint(
                    share_from=low,
                    share_to=high,
                    cosine=float(2 * first / BUCKETS - 1),
                    lift=float(users[start:end].sum() / expected),
                )
            )
        return points


def measure_preference(
    train: csr_matrix,
    vectors: ItemVectors,
    kept: NDArray[np.bool_] | None = None,
) -> Preference:
    """Compare descriptions and negatives with what else the users of each item use.

    Args:
        train: the training interactions, 0/1 CSR ``[users, items]``.
        vectors: the encoded descriptions and negatives of the same items.
        kept: bool ``[items, completions, modalities]``; only these negatives count in
            :meth:`Preference.curve`. All by default.
    """
    together = CoConsumption(train)
    mask = vectors.mask
    texts = unit(np.concatenate([vectors.positive[:, None], vectors.negative], axis=1))
    items, kinds, modalities = texts.shape[:3]
    kept = np.ones((items, kinds - 1, modalities), np.bool_) if kept is None else kept
    closer = np.full((items, kinds - 1, modalities), np.nan, dtype=np.float32)
    pairs = np.zeros((items, modalities))
    counted = np.zeros((2, modalities, 3, BUCKETS))
    for block in item_blocks(items):
        observed, expected = together.block(block)
        for m in range(modalities):
            rows = np.flatnonzero(mask[block, m])
            others, own = mask[:, m], block.start + rows
            used, by_chance = observed[rows][:, others], expected[rows][:, others]
            real = texts[others, 0, m].T  # [d, others]
            apart = np.flatnonzero(others) != own[:, None]  # [rows, others], not the item itself
            pairs[own, m] = used.sum(1, dtype=np.float64)
            described = texts[own, 0, m] @ real  # [rows, others]
            for text in range(kinds):
                similar = described if text == 0 else texts[own, text, m] @ real
                if text > 0:
                    nearer = (used * (similar > described)).sum(1, dtype=np.float64)
                    known = pairs[own, m] > 0
                    closer[own[known], text - 1, m] = nearer[known] / pairs[own[known], m]
                counts = apart if text == 0 else apart & kept[own, text - 1, m, None]
                counted[min(text, 1), m] += _bucketed(similar, used, by_chance, counts)
    return Preference(closer, pairs, counted)


def neighbour_lift(train: csr_matrix, neighbours: Neighbours) -> NDArray[np.float32]:
    """Return the lift of each text's neighbours with the item, taken together.

    Returns:
        float32 ``[items, 1 + completions, modalities]``; NaN where nobody could use them together.
    """
    together = CoConsumption(train)
    lift = np.full(neighbours.items.shape[:3], np.nan, dtype=np.float32)
    for block in item_blocks(len(lift)):
        near = neighbours.items[block]
        row = np.arange(len(near))[:, None, None, None]
        observed, expected = (
            np.where(near >= 0, users[row, near], 0).sum(-1) for users in together.block(block)
        )
        np.divide(observed, expected, out=lift[block], where=expected > 0)
    return lift


def swapped(vectors: ItemVectors, seed: int) -> ItemVectors:
    """Give every item the negatives of another one: what negatives tell if they tell nothing.

    In each modality, all that have it pass theirs on in a random circle.
    """
    rng = np.random.default_rng(seed)
    negative = vectors.negative.copy()
    for m in range(len(vectors.modalities)):
        circle = rng.permutation(np.flatnonzero(vectors.mask[:, m]))
        negative[circle, :, m] = vectors.negative[np.roll(circle, 1), :, m]
    return replace(vectors, negative=negative)


def _bucketed(
    cosines: NDArray[np.float32],
    used: NDArray[np.float32],
    by_chance: NDArray[np.float32],
    counts: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return pairs, their users, and expected users by bucket of the cosine, ``[3, BUCKETS]``."""
    bucket = ((cosines[counts] + 1) * (BUCKETS / 2)).astype(np.int64).clip(0, BUCKETS - 1)
    weights = (None, used[counts], by_chance[counts])
    return np.stack([np.bincount(bucket, weight, minlength=BUCKETS) for weight in weights])
