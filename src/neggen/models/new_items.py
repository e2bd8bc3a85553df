"""Items that came after training: described, encoded and ranked without any interaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.encoding.store import encode_records
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.evaluation.ranking import users_at_once
from neggen.models.balance import CATALOG
from neggen.models.base import best_items
from neggen.models.described_items import Described


def recommend_new_items(
    model: Described,
    items: Any,
    users: Sequence[str] | None,
    k: int,
    *,
    records: pl.DataFrame | None,
    encoder: TextEncoder | None,
) -> pl.DataFrame:
    """Do what :meth:`Described.recommend_new_items` says."""
    if k < 1:
        raise NegGenError(f"k = {k} is not allowed: ask for at least one item.")
    known = model._fitted_items()
    assert model.user_ids is not None
    index = np.arange(len(model.user_ids)) if users is None else model._users(users)
    data = items if isinstance(items, Dataset) else Dataset.from_frames(None, items)
    vectors = data.vectors
    if vectors is None:
        encoder = encoder or TextEncoder(device=model.config.device)
        vectors = _encoded(model, data, records, encoder)
    vectors = _with_modalities(model.known(vectors), model.balance.modalities)

    new = ~data.item_ids.is_in(known.implode()).to_numpy()
    if not new.any():
        raise NegGenError(
            "The model knows all of these items from training; recommend() ranks them."
        )
    described = vectors.mask.any(1)  # [items]
    kept = torch.from_numpy(np.flatnonzero(new & described))
    if not len(kept):
        raise NegGenError(
            f"None of the new items is described in a way this model knows "
            f"({', '.join(model.balance.modalities)}); generate records of them and encode these."
        )
    names = data.item_ids[kept.numpy()]
    frames = []
    with torch.no_grad():
        effects = model.effects_of(vectors)[kept.to(model.config.device)]  # [new, d]
        size = users_at_once(len(kept))
        for start in range(0, max(1, len(index)), size):
            chunk = index[start : start + size]
            tastes = model.tastes(torch.from_numpy(chunk))  # [chunk, d]
            frames.append(best_items(model.user_ids[chunk], names, tastes @ effects.T, k))
    found = pl.concat(frames)
    if len(found) and (found["score"] == 0).all():
        raise NegGenError(
            "This model learned nothing from descriptions (all its scores of new items are 0); "
            "train it on the split cold-items, which chooses by new items."
        )
    return found


def _encoded(
    model: Described, data: Dataset, records: pl.DataFrame | None, encoder: TextEncoder
) -> ItemVectors:
    """Encode records and own texts, or own texts alone if there are no records."""
    if records is not None:
        return encode_records(data, records, encoder)
    if CATALOG not in model.balance.modalities:
        raise NegGenError(
            f"This {model.name} model knows items by their descriptions alone, so it needs the "
            f"records of new items: import these into a workspace of their own, run neggen "
            f"generate, and pass what it wrote as records."
        )
    texts = {i: text for i in range(len(data.item_ids)) if (text := data.item_text(i)) is not None}
    width = model.balance.positive_mean.shape[1]
    own = np.zeros((len(data.item_ids), width), dtype=np.float32)
    if texts:
        own[list(texts)] = encoder.encode(list(texts.values()))
    present: NDArray[np.bool_] = np.logical_or.reduce(own, axis=1)  # [items]
    return ItemVectors(
        modalities=(CATALOG,),
        positive=own[:, None],
        negative=np.zeros((len(own), 1, 1, width), dtype=np.float32),
        mask=present[:, None],
    )


def _with_modalities(vectors: ItemVectors, modalities: tuple[str, ...]) -> ItemVectors:
    """Return vectors with these modalities in this order; those that no item has are masked."""
    if extra := set(vectors.modalities) - set(modalities):
        raise NegGenError(
            f"The new items are described by {', '.join(sorted(extra))}, which this model does not "
            f"know; it knows {', '.join(modalities)}."
        )
    items, completions, _, width = vectors.negative.shape
    positive = np.zeros((items, len(modalities), width), dtype=np.float32)
    negative = np.zeros((items, completions, len(modalities), width), dtype=np.float32)
    mask = np.zeros((items, len(modalities)), dtype=bool)
    places = [modalities.index(name) for name in vectors.modalities]
    positive[:, places], negative[:, :, places] = vectors.positive, vectors.negative
    mask[:, places] = vectors.mask
    return replace(vectors, modalities=modalities, positive=positive, negative=negative, mask=mask)
