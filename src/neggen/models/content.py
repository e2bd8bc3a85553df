"""What items are, as one matrix: their own texts, their descriptions, or both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neggen.config import Content
from neggen.data.vectors import ItemVectors
from neggen.errors import NegGenError


def content_of(vectors: ItemVectors, content: Content) -> NDArray[np.float32]:
    """Return one row an item, so that the dot product of two rows is a cosine.

    The parts are the own text and the description of every modality. Each is centered over the
    items that have it, because what all texts share tells no items apart, and scaled to unit
    length; an item's row holds its parts side by side and is scaled to unit length again.

    Args:
        vectors: the encoded texts.
        content: which parts.

    Returns:
        float32 ``[items, width]`` with rows of unit length, zero where an item has no part.

    Raises:
        NegGenError: If own texts are wanted and were not encoded, or no item has one.
    """
    parts = []
    if content != "descriptions":
        if vectors.text is None:
            raise NegGenError(
                "The items' own texts are not encoded; run neggen encode, or set "
                "content=descriptions."
            )
        present: NDArray[np.bool_] = np.logical_or.reduce(vectors.text, axis=1)  # [items]
        if content == "text" and not present.any():
            raise NegGenError("No item has a text of its own; set content=descriptions.")
        parts.append(_part(vectors.text, present))
    if content != "text":
        parts += [
            _part(vectors.positive[:, m], vectors.mask[:, m])
            for m in range(len(vectors.modalities))
        ]
    if not parts:
        raise NegGenError("Nothing describes the items of this row; set content=text.")
    return _unit(np.concatenate(parts, axis=1))


def _part(rows: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    mean = rows[present].sum(axis=0) / max(int(present.sum()), 1)  # [d]
    return _unit(np.where(present[:, None], rows - mean, 0))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to unit length; zero rows stay zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = rows / np.maximum(norms, 1e-6)
    return scaled
