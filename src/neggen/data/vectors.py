"""Vectors of items and graphs of like items, by modality, with a mask for what is missing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Reads = Literal["descriptions", "attributes"]
"""What an encoder is given of a record: whole texts, or their key attributes alone."""


@dataclass(frozen=True)
class Features:
    """Given feature vectors of one modality, rows in the order of ``Dataset.item_ids``.

    Attributes:
        values: float32 ``[items, d]``; the rows of missing items are zero.
        mask: bool ``[items]``, True where the item has this modality.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]

    def select(self, items: NDArray[np.integer[Any]]) -> Features:
        """Return the features of some items."""
        return Features(self.values[items], self.mask[items])


@dataclass(frozen=True)
class ItemGraph:
    """Every item's nearest items in one modality, rows in the order of ``Dataset.item_ids``.

    As in the graphs of the field's published code, an item with this modality is among its own
    nearest, with a cosine of 1, and k counts it.

    Attributes:
        neighbors: int32 ``[items, k]``, nearest first, −1 where there are fewer than k.
        cosines: float32 ``[items, k]``, 0 where ``neighbors`` is −1.
    """

    neighbors: NDArray[np.int32]
    cosines: NDArray[np.float32]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True where the item has this modality, and so neighbors, ``[items]``."""
        known: NDArray[np.bool_] = np.any(self.neighbors >= 0, axis=1)
        return known

    @classmethod
    def from_ties(
        cls,
        one: NDArray[np.integer[Any]],
        other: NDArray[np.integer[Any]],
        cosines: NDArray[np.float32],
        items: int,
    ) -> ItemGraph:
        """Gather ties ``[ties]`` of an item and one of its nearest; equal cosines keep order."""
        order = np.lexsort((-cosines, one))
        one, other, cosines = one[order], other[order], cosines[order]
        counts = np.bincount(one, minlength=items)  # [items]
        rank = np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts, counts)  # [ties]
        shape = (items, int(counts.max(initial=0)))
        graph = cls(np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.float32))
        graph.neighbors[one, rank] = other
        graph.cosines[one, rank] = cosines
        return graph

    def select(self, items: NDArray[np.integer[Any]], moves: NDArray[np.integer[Any]]) -> ItemGraph:
        """Return the graph of some items: ``moves`` maps old to new, −1 for those that go."""
        old = self.neighbors[items]  # [items, k]
        new = np.where(old >= 0, moves[old], -1).astype(np.int32)
        cosines = np.where(new >= 0, self.cosines[items], 0)
        order = np.argsort(new < 0, axis=1, kind="stable")  # those that are left come first
        return ItemGraph(np.take_along_axis(new, order, 1), np.take_along_axis(cosines, order, 1))


@dataclass(frozen=True)
class ItemVectors:
    """Encoded descriptions and their generated negatives.

    Attributes:
        modalities: names in the order of the modality axis, such as ``("image", "text")``.
        positive: float32 ``[items, modalities, d]``, the encoded descriptions.
        negative: float32 ``[items, completions, modalities, d]``, the encoded negatives.
        mask: bool ``[items, modalities]``, True where the item has a record.
        text: float32 ``[items, d]``, the items' own encoded texts (attributes as they were
            imported); zero rows where there are none. None where they were not encoded.
        image: float32 ``[items, width]``, the items' own pictures by a picture encoder; zero rows
            where there are none. None where nobody asked for them.
        reads: what ``positive`` and ``negative`` are encodings of.
        encoder: the fingerprint of the text encoder; None where it is not known.
    """

    modalities: tuple[str, ...]
    positive: NDArray[np.float32]
    negative: NDArray[np.float32]
    mask: NDArray[np.bool_]
    text: NDArray[np.float32] | None = None
    image: NDArray[np.float32] | None = None
    reads: Reads = "descriptions"
    encoder: str | None = None

    @property
    def content_hash(self) -> str:
        """A SHA-256 over all that was read; own pictures have :attr:`pictures_hash`."""
        digest = hashlib.sha256(repr(self.modalities).encode())
        for array in (self.positive, self.negative, self.mask, self.text):
            if array is not None:
                digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    @property
    def pictures_hash(self) -> str | None:
        """A SHA-256 over :attr:`image`; None if there is none."""
        if self.image is None:
            return None
        return hashlib.sha256(np.ascontiguousarray(self.image).view(np.uint8).data).hexdigest()
