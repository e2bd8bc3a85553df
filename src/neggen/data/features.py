"""Given feature vectors of items, one row an item, whatever made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neggen.data.tables import inside
from neggen.data.vectors import Features
from neggen.errors import NegGenError

SUFFIX = "_feat.npy"
"""Of a file of features, after the modality."""


def feature_paths(folder: Path) -> dict[str, Path]:
    """Return the files of features in a folder by modality, such as ``image_feat.npy``."""
    return {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def open_features(path: Path) -> NDArray[Any]:
    """Open a file of features without reading it.

    Raises:
        NegGenError: If it is not such a file.
    """
    try:
        # A memory map is bounded by the file, whatever size its header claims.
        return np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise NegGenError(f"{path} is not a plain NumPy array: {error}.") from None


def features_of(modality: str, values: Any, items: int, of: str, notes: list[str]) -> Features:
    """Return features whose rows that are zero or not finite are missing.

    Args:
        modality: what they are of, for messages.
        values: numbers ``[items, d]``, which are copied.
        items: how many items there are.
        of: what messages call the items.
        notes: is told how many rows were masked.

    Raises:
        NegGenError: If they are not numbers in a table with one row an item.
    """
    array = table_of_features(modality, values, items, of)
    copied = np.array(array, dtype=np.float32)
    mask: NDArray[np.bool_] = np.isfinite(copied).all(axis=1) & np.any(copied != 0, axis=1)
    copied[~mask] = 0
    if not mask.all():
        rows = f"{int((~mask).sum()):,} of {items:,} rows"
        notes.append(f"Masked {rows} of the features of {modality}: zero or not finite.")
    return Features(copied, mask)


def table_of_features(modality: str, values: Any, items: int, of: str) -> NDArray[Any]:
    """Return features as they are, which must be a table of numbers with one row an item.

    Args and errors are those of :func:`features_of`; nothing as long as ``items`` is made.
    """
    name = f"The features of {modality}"
    try:
        array = np.asarray(values)
    except ValueError as error:  # such as rows of different lengths
        raise NegGenError(f"{name} are no table of numbers: {error}.") from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise NegGenError(
            f"{name} have shape {array.shape} and type {array.dtype}; give numbers with one row an "
            f"item."
        )
    if len(array) != items:
        raise NegGenError(
            f"{name} have {len(array):,} rows for {items:,} items; give one row an item, in the "
            f"order of {inside(of)}."
        )
    return array
