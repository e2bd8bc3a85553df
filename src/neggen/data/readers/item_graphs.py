"""Graphs of like items beside an ``.inter`` file: ``MODALITY_knnK.npz``."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neggen.data.vectors import ItemGraph
from neggen.errors import NegGenError

NAME = re.compile(r"(\w[\w.-]*)_knn\d*\.npz")
MOST_NEIGHBORS = 1000
"""Neighbors an item may have; a file that claims to hold more is not unpacked."""
ROUNDING = 1e-3
"""How far a cosine may lie outside of [−1, 1]; it is cut to that."""


def graph_paths(folder: Path) -> dict[str, Path]:
    """Return the files of graphs in a folder by modality.

    Raises:
        NegGenError: If there are two of one modality.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*_knn*.npz")):
        if (match := NAME.fullmatch(path.name)) is None:
            continue
        if (other := found.setdefault(match[1], path)) != path:
            raise NegGenError(
                f"{folder} has two graphs of the modality '{match[1]}' ({other.name}, "
                f"{path.name}); keep one of them."
            )
    return found


def read_graph(path: Path, items: int, notes: list[str]) -> ItemGraph:
    """Read ``src``, ``dst`` and ``cosine`` of ties, each ``[ties]``.

    A tie without a cosine (NaN) is left out: one of its ends had no features. Weights
    (``norm_w``) are not read; models derive theirs.

    Args:
        path: the file.
        items: how many items there are.
        notes: takes sentences on what was left out.

    Raises:
        NegGenError: For anything wrong in the file.
    """
    arrays = _arrays(path, items)
    one, other = (_item_numbers(arrays[name], name, path, items) for name in ("src", "dst"))
    cosines = arrays["cosine"]
    if not one.shape == other.shape == cosines.shape:
        raise NegGenError(
            f"{path} has src, dst and cosine of shapes {one.shape}, {other.shape} and "
            f"{cosines.shape}; a tie has one of each."
        )
    if cosines.dtype.kind != "f" or (np.abs(cosines) > 1 + ROUNDING).any():
        raise NegGenError(f"{path} has a cosine that is no number from -1 to 1; compute it anew.")
    ties = one * items + other
    if len(np.unique(ties)) < len(ties):
        raise NegGenError(f"{path} names a neighbor of an item twice; keep one of them.")
    known = ~np.isnan(cosines)
    cosines = np.clip(cosines[known], -1, 1).astype(np.float32)
    graph = ItemGraph.from_ties(one[known], other[known], cosines, items)
    if missing := int((~graph.mask).sum()):
        notes.append(f"Masked {missing:,} of {items:,} items of {path.name}: no neighbor known.")
    if stray := int((~known & graph.mask[one]).sum()):
        notes.append(f"Left out {stray:,} ties of other items of {path.name}: no cosine.")
    return graph


def _arrays(path: Path, items: int) -> dict[str, NDArray[Any]]:
    names = ("src", "dst", "cosine")
    try:
        with zipfile.ZipFile(path) as archive:
            if any(file.file_size > 8 * items * MOST_NEIGHBORS for file in archive.infolist()):
                raise NegGenError(
                    f"{path} is too large for {items:,} items with up to {MOST_NEIGHBORS:,} "
                    f"neighbors each; use the graph that belongs to this .inter file."
                )
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in names}
            claimed = stored["n_items"] if "n_items" in stored else np.array(items)
    except KeyError as error:
        raise NegGenError(
            f"{path} lacks an array ({error}); a graph has {', '.join(names)}."
        ) from None
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise NegGenError(f"{path} is not a file of plain NumPy arrays: {error}.") from None
    if claimed.size != 1 or claimed.item() != items:
        raise NegGenError(
            f"{path} is of n_items = {claimed} for {items:,} items (the largest itemID plus one); "
            f"use the graph that belongs to this .inter file."
        )
    return arrays


def _item_numbers(numbers: NDArray[Any], name: str, path: Path, items: int) -> NDArray[np.int64]:
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise NegGenError(
            f"{path} has {name} of shape {numbers.shape} and type {numbers.dtype}; it should hold "
            f"one whole number, an itemID, a tie."
        )
    wrong = (numbers < 0) | (numbers >= items)
    if wrong.any():
        raise NegGenError(
            f"{path} has {name} = {numbers[wrong][0]}, yet itemIDs go from 0 to {items - 1:,}; "
            f"use the graph that belongs to this .inter file."
        )
    return numbers.astype(np.int64)
