"""False generated negatives: those that describe what the item's own users like.

A negative says what an item pointedly is not. Where the users of the item also use items that fit
the negative's words, it is wrong about them, and training on it pushes away what they want.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neggen.data.vectors import ItemVectors

BLOCK_PAIRS = 1 << 22
"""Item pairs looked at together: 4M floats, 16 MB an array."""
LEAST_ROWS = 64
"""Items looked at together at least: fewer, against many others, are multiplied slowly."""


@dataclass(frozen=True)
class Margins:
    """When a negative counts as false; see :func:`false_negatives`.

    Attributes:
        absolute: least cosine of the negative to the other item. Depends on the encoder: for
            all-MiniLM-L6-v2, 99% of the cosines of recorded negatives to other items are below 0.6.
        relative: by how much it must exceed the cosine of the description to the other item.
        support: least number of times that users of the item use items that fit the negative.
        lift: least ratio of that number to the one expected by chance.
    """

    absolute: float = 0.6
    relative: float = 0.05
    support: int = 2
    lift: float = 1.5


class CoConsumption:
    """How many users use both of two items, and how many would by chance.

    By chance, pairs of items are used together in proportion to the product of their numbers of
    users: E_ij = κ n_i n_j, where κ makes the expected pairs as many as the observed ones. (Users
    who use many items make κ greater than 1 / users, so that a lift of 1 is an average pair.)
    """

    def __init__(self, train: csr_matrix) -> None:
        """Take the training interactions, 0/1 CSR ``[users, items]``."""
        self._by_user = train
        self._by_item = train.T.tocsr()  # [items, users]
        self._degrees = np.diff(self._by_item.indptr).astype(np.float64)  # [items]
        activity = np.diff(train.indptr).astype(np.float64)  # [users]
        pairs = (activity * (activity - 1)).sum()
        products = self._degrees.sum() ** 2 - np.square(self._degrees).sum()
        self._rate = pairs / products if products else 0.0

    def block(self, items: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return observed and expected numbers of users of pairs, each ``[block, items]``.

        The pair of an item with itself counts nothing in either.
        """
        observed = (self._by_item[items] @ self._by_user).toarray().astype(np.float32, copy=False)
        expected = np.outer(self._rate * self._degrees[items], self._degrees).astype(np.float32)
        own = np.arange(items.start, items.start + len(observed))
        observed[np.arange(len(own)), own] = 0
        expected[np.arange(len(own)), own] = 0
        return observed, expected


def item_blocks(items: int) -> Iterator[slice]:
    """Divide the items so that a block against all items is ``BLOCK_PAIRS`` pairs, or few rows."""
    size = max(LEAST_ROWS, BLOCK_PAIRS // max(items, 1))
    for start in range(0, items, size):
        yield slice(start, min(start + size, items))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale vectors along the last axis to unit length; zero vectors stay zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return scaled


def false_negatives(
    train: csr_matrix, vectors: ItemVectors, margins: Margins | None = None
) -> NDArray[np.bool_]:
    """Tell which generated negatives describe other items that the item's users like.

    An item j fits the negative of item i if in the same modality both hold::

        cos(x⁻_i, x⁺_j) ≥ absolute                       the negative does describe j
        cos(x⁻_i, x⁺_j) ≥ cos(x⁺_i, x⁺_j) + relative     and does so better than the description

    Each alone accuses the innocent: a negative may come nearer to an item that it is still far
    from, and one that is near j may come from a description that was nearer still, so that the
    change did lead away. The negative is false if the items that fit it, taken together, are used
    with i by at least ``support`` users and ``lift`` times as often as by chance. (Taken together,
    since where everybody uses much, some item among the many that fit will always do.)

    Args:
        train: the training interactions, 0/1 CSR ``[users, items]``.
        vectors: the encoded descriptions and negatives of the same items.
        margins: the bounds; those of :class:`Margins` by default.

    Returns:
        bool ``[items, completions, modalities]``, True for a false negative, which training should
        leave out; False where there is none.
    """
    margins = margins or Margins()
    together = CoConsumption(train)
    positive, negative = unit(vectors.positive), unit(vectors.negative)
    false = np.zeros(negative.shape[:3], dtype=np.bool_)
    for block in item_blocks(len(positive)):
        observed, expected = together.block(block)
        for m in range(len(vectors.modalities)):
            others = positive[:, m].T  # [d, items]
            least = np.maximum(positive[block, m] @ others + margins.relative, margins.absolute)
            for k in range(negative.shape[1]):
                fits = (negative[block, k, m] @ others >= least) & vectors.mask[:, m]
                users = (observed * fits).sum(1, dtype=np.float64)  # [block]
                by_chance = (expected * fits).sum(1, dtype=np.float64)
                enough = np.maximum(margins.lift * by_chance, margins.support)
                false[block, k, m] = users >= enough
    return false & vectors.mask[:, None]


def typical(vectors: ItemVectors, false: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mean negative of every modality, false ones left out, ``[modalities, d]``."""
    good = (~false & vectors.mask[:, None])[..., None]  # [items, completions, modalities, 1]
    total = vectors.negative.sum((0, 1), where=good)  # [modalities, d]; copies nothing
    mean: NDArray[np.float32] = (total / np.maximum(good.sum((0, 1)), 1)).astype(np.float32)
    return mean


def without(
    vectors: ItemVectors, false: NDArray[np.bool_], instead: NDArray[np.float32]
) -> ItemVectors:
    """Return vectors in which false negatives say nothing about their items.

    A false negative becomes the mean of the item's other completions, or if there is none the
    typical one of the modality, so that nothing of its own is subtracted from the description.

    Args:
        vectors: the encoded descriptions and negatives, of all items or of some.
        false: of these items, ``[items, completions, modalities]``; see :func:`false_negatives`.
        instead: the :func:`typical` negatives of all, ``[modalities, d]``.
    """
    if not false.any():
        return vectors
    good = (~false & vectors.mask[:, None])[..., None]  # [items, completions, modalities, 1]
    left = good.sum(1)  # [items, modalities, 1]
    own = (vectors.negative * good).sum(1) / np.maximum(left, 1)  # [items, modalities, d]
    mean = np.where(left > 0, own, instead)[:, None]
    negative = np.where(false[..., None], mean, vectors.negative).astype(np.float32)
    return replace(vectors, negative=negative)
