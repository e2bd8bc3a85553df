"""Items that came after training: described, encoded and ranked without any interaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.encoding.store import encode_records, own_texts
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.models.balance import CATALOG
from neggen.models.described_items import Described
from neggen.models.ranking import best_lists, blocked_items, check_k, people_of


def recommend_new_items(
    model: Described,
    items: Any,
    users: Sequence[str] | Mapping[str, Sequence[str]] | None,
    k: int,
    *,
    candidates: Sequence[str] | None,
    exclude: Sequence[str] | None,
    diversity: float,
    records: pl.DataFrame | None,
    encoder: TextEncoder | None,
) -> pl.DataFrame:
    """Do what :meth:`Described.recommend_new_items` says."""
    check_k(k)
    known = model._fitted_items()
    assert model.user_ids is not None
    if isinstance(users, Mapping) and (silent := [name for name in users if not users[name]]):
        raise NegGenError(
            f"The history of '{silent[0]}' is empty, and nothing else tells which new items to "
            f"recommend; give at least one item."
        )
    users = model.user_ids.to_list() if users is None else users
    people = people_of(model, users, model.tastes, model.tastes_by)
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
    places = {name: place for place, name in enumerate(names)}
    with torch.no_grad():
        effects = model.effects_of(vectors)[kept.to(model.config.device)]  # [new, d]
        found = best_lists(
            people._replace(score=lambda some: people.score(some) @ effects.T),
            names,
            k,
            seen=None,
            blocked=blocked_items(places, candidates, exclude),
            vectors=lambda items: effects[items],
            diversity=diversity,
            device=model.config.device,
        )
    if len(found) and (found["score"] == 0).all():
        raise _no_taste(model, found["user_id"][0])
    return found


def _no_taste(model: Described, user: str) -> NegGenError:
    """Return what is wrong where everything is scored 0."""
    assert model.user_ids is not None
    if model.tastes(torch.arange(len(model.user_ids))).any():
        return NegGenError(
            f"Nothing that '{user}' is known to have used in training is described, so nothing "
            f"tells which new items to recommend; give a history of described items instead."
        )
    return NegGenError(
        "This model learned nothing from descriptions (all its scores of new items are 0); "
        "train it on the split cold-items, which chooses by new items."
    )


def _encoded(
    model: Described, data: Dataset, records: pl.DataFrame | None, encoder: TextEncoder
) -> ItemVectors:
    """Encode records and own texts, or own texts alone if there are no records."""
    if records is not None:
        return encode_records(data, records, encoder, model.balance.reads)
    if CATALOG not in model.balance.modalities:
        raise NegGenError(
            f"This {model.name} model knows items by their descriptions alone, so it needs the "
            f"records of new items: import these into a workspace of their own, run neggen "
            f"generate, and pass what it wrote as records."
        )
    return own_vectors(model, data, encoder)


def own_vectors(model: Described, data: Dataset, encoder: TextEncoder) -> ItemVectors:
    """Encode the items' own texts, for a model that knows items by these; the others are masked."""
    texts = own_texts(data)
    width = model.balance.positive_mean.shape[1]
    encoded = encoder.encode(list(texts.values())) if texts else np.zeros((0, width), np.float32)
    own = np.zeros((len(data.item_ids), encoded.shape[1]), dtype=np.float32)
    own[list(texts)] = encoded
    present: NDArray[np.bool_] = np.logical_or.reduce(own, axis=1)  # [items]
    return ItemVectors(
        modalities=(CATALOG,),
        positive=own[:, None],
        negative=np.zeros((len(own), 1, 1, own.shape[1]), dtype=np.float32),
        mask=present[:, None],
        reads=model.balance.reads,
        encoder=encoder.fingerprint,
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
