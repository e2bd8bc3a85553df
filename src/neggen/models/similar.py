"""Items like an item, by the cosine of what a model knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.evaluation.ranking import CHUNK_SCORES
from neggen.models.ranking import blocked_items, check_k, ranked

if TYPE_CHECKING:
    from neggen.models.base import Recommender


def similar_items(
    model: Recommender,
    items: Sequence[str],
    k: int,
    *,
    candidates: Sequence[str] | None,
    exclude: Sequence[str] | None,
) -> pl.DataFrame:
    """Do what :meth:`Recommender.similar_items` says."""
    check_k(k)
    names = model._fitted_items()
    wanted = torch.from_numpy(model._items(items)).to(model.config.device)
    blocked = blocked_items(model._item_index, candidates, exclude)
    width = model.item_vectors(wanted[:0]).shape[1]
    size = max(1, CHUNK_SCORES // max(width, len(names)))
    frames = []
    for start in range(0, max(1, len(wanted)), size):
        chunk = wanted[start : start + size]
        cosines = _cosines(model, chunk, len(names))  # [chunk, items]
        if blocked is not None:
            cosines[:, torch.from_numpy(blocked).to(cosines.device)] = -torch.inf
        cosines[torch.arange(len(chunk)), chunk] = -torch.inf  # nobody is like themselves
        best, places = cosines.topk(min(k, len(names)), dim=1)
        frames.append(ranked(names[chunk.cpu().numpy()], names, best, places))
    found = pl.concat(frames)
    return found.rename({"item_id": "similar_item_id", "user_id": "item_id"})


def _cosines(model: Recommender, items: Tensor, count: int) -> Tensor:
    """Return the cosines of some items with all ``count``, −∞ where either has no vector."""
    vectors = model.item_vectors(items).float()  # [some, width]
    units, matrix = F.normalize(vectors, dim=1), _matrix(model)
    if matrix is None:
        cosines = _by_chunks(model, units, count)
    else:
        norms = _norms(model, matrix)
        cosines = _products(units, matrix).div_(norms).masked_fill_(norms == 0, -torch.inf)
    return cosines.masked_fill_(~vectors.any(1, keepdim=True), -torch.inf)


def _by_chunks(model: Recommender, units: Tensor, count: int) -> Tensor:
    """Return the cosines of unit vectors ``[some, width]`` with the vectors of all items."""
    size, parts = max(1, CHUNK_SCORES // units.shape[1]), []
    for start in range(0, count, size):
        others = torch.arange(start, min(start + size, count), device=units.device)
        theirs = model.item_vectors(others).float()  # [others, width]
        cosines = units @ F.normalize(theirs, dim=1).T  # [some, others]
        parts.append(cosines.masked_fill_(~theirs.any(1), -torch.inf))
    return torch.cat(parts, dim=1)


def _matrix(model: Recommender) -> Tensor | csr_matrix | None:
    """Return the matrix whose columns, or rows if it is sparse, are the vectors of all items.

    Vectors as long as the catalogue are too many numbers to be gathered at every request. None for
    a model that has other ones.
    """
    from neggen.models.ease import EASE
    from neggen.models.item_knn import ItemKNN

    theirs = type(model).item_vectors  # which a subclass may have replaced
    if isinstance(model, EASE) and theirs is EASE.item_vectors:
        # Fitting may have left it by columns, and rounding must be that of the same model loaded.
        return model.weights.contiguous()
    if isinstance(model, ItemKNN) and theirs is ItemKNN.item_vectors:
        return model.similarity
    return None


def _products(vectors: Tensor, matrix: Tensor | csr_matrix) -> Tensor:
    """Return the products of vectors ``[some, items]`` with those in such a matrix."""
    if isinstance(matrix, Tensor):
        return vectors @ matrix
    products = matrix @ vectors.cpu().numpy().T  # [items, some]
    return torch.from_numpy(products.T.copy()).to(vectors.device)


def _norms(model: Recommender, matrix: Tensor | csr_matrix) -> Tensor:
    """Return the norms of the vectors in such a matrix, computed once a fit, ``[items]``."""
    kept = vars(model).get("_vector_norms")
    if kept is None or kept[0] is not model.history:  # of which every fit makes a new one
        if isinstance(matrix, Tensor):
            norms = torch.linalg.vector_norm(matrix, dim=0)
        else:
            squares = np.asarray(matrix.multiply(matrix).sum(1)).ravel()
            norms = torch.from_numpy(np.sqrt(squares)).to(model.config.device)
        kept = vars(model)["_vector_norms"] = model.history, norms
    found: Tensor = kept[1]
    return found
