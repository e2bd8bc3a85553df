"""Items like an item, by the cosine of what a model knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl
import torch
import torch.nn.functional as F
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
    units, size = F.normalize(vectors, dim=1), max(1, CHUNK_SCORES // vectors.shape[1])
    parts = []
    for start in range(0, count, size):
        others = torch.arange(start, min(start + size, count), device=items.device)
        theirs = model.item_vectors(others).float()  # [others, width]
        cosines = units @ F.normalize(theirs, dim=1).T  # [some, others]
        parts.append(cosines.masked_fill(~theirs.any(1), -torch.inf))
    return torch.cat(parts, dim=1).masked_fill(~vectors.any(1, keepdim=True), -torch.inf)
