"""Vectors of items, by modality, with a mask for what is missing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Features:
    """Given feature vectors of one modality, rows in the order of ``Dataset.item_ids``.

    Attributes:
        values: float32 ``[items, d]``; the rows of missing items are zero.
        mask: bool ``[items]``, True where the item has this modality.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]


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
    """

    modalities: tuple[str, ...]
    positive: NDArray[np.float32]
    negative: NDArray[np.float32]
    mask: NDArray[np.bool_]
    text: NDArray[np.float32] | None = None

    @property
    def content_hash(self) -> str:
        """A SHA-256 over everything."""
        digest = hashlib.sha256(repr(self.modalities).encode())
        for array in (self.positive, self.negative, self.mask, self.text):
            if array is not None:
                digest.update(array.tobytes())
        return digest.hexdigest()
