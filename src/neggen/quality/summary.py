"""The measures of a modality, of the workspace, of the filter and of a run, as plain figures."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.evaluation.beyond_accuracy import coverage, gini, intra_list_distance, novelty
from neggen.models.base import Recommender
from neggen.negatives.false_negatives import Margins, false_negatives, unit
from neggen.quality.preference import Preference, measure_preference
from neggen.quality.texts import distinct

MEANS = {
    "slots": "slots",
    "context_share": "context_share",
    "unchanged": "unchanged",
    "cohesion": "cohesion",
    "cohesion_of_description": "cohesion_of_descriptions",
    "duplicate": "duplicates",
    "stock_share": "stock_share",
    "contrast": "contrast",
    "distance": "distance",
    "false_negative": "false_negatives",
}
"""Columns of the items table whose mean over records is a figure, and the figure's name."""
TOP = 0.01
"""Share of the pairs of items, by cosine, whose lift stands for the end of the curve."""
LENGTH = 20
"""Length of the recommended lists that are measured."""

Figures = dict[str, float | None]


def record_figures(table: pl.DataFrame, records: pl.DataFrame) -> Figures:
    """Summarize some records by the rows of their items table: means, and distinct-n of the slots.

    Shares of slots are over all slots, so that a record counts by how many it has.
    """
    figures: Figures = {
        name: _mean(table[column].cast(pl.Float64)) for column, name in MEANS.items()
    }
    slots = table["slots"].to_numpy()
    for name in ("synonym_share", "stock_share"):
        filled = float((table[name].to_numpy() * slots).sum())
        figures[name] = filled / float(slots.sum()) if slots.sum() else None
    for column, suffix in (("replacements", ""), ("values", "_of_values")):
        phrases = records[column].explode().drop_nulls().to_list()
        for n in (1, 2):
            figures[f"distinct_{n}{suffix}"] = distinct(phrases, n)
    return figures


def preference_figures(
    preference: Preference, control: Preference, vectors: ItemVectors
) -> dict[str, dict[str, Any]]:
    """Return the share of closer negatives, and lift curves and their ends, by modality.

    Args:
        preference: of the vectors.
        control: the same with negatives swapped between items.
        vectors: the encoded descriptions and negatives.
    """
    return {
        name: {
            "closer_share": preference.closer_share(_all(vectors), m),
            "closer_share_of_others": control.closer_share(_all(vectors), m),
            "top_lift": _top_lift(preference, 1, m),
            "top_lift_of_descriptions": _top_lift(preference, 0, m),
            "lift": [asdict(point) for point in preference.curve(1, m)],
            "lift_of_descriptions": [asdict(point) for point in preference.curve(0, m)],
            "lift_of_others": [asdict(point) for point in control.curve(1, m)],
        }
        for m, name in enumerate(vectors.modalities)
    }


def filter_figures(
    data: Dataset,
    vectors: ItemVectors,
    false: NDArray[np.bool_],
    margins: Margins,
) -> dict[str, dict[str, float | None]]:
    """Measure what leaving out false negatives changes, by modality.

    A filter that is judged by the users who decided it always looks good. So every second user
    decides which negatives go, and the others tell whether those that stay are better.

    Returns:
        ``dropped``, the share that goes if all users decide, and for the halves
        ``dropped_by_half``, and ``closer_share`` and ``top_lift`` with ``_before`` and ``_after``,
        the latter above the same cosine in both.
    """
    deciding, telling = data.train[::2], data.train[1::2]
    kept = ~false_negatives(deciding, vectors, margins)
    before = measure_preference(telling, vectors)
    after = measure_preference(telling, vectors, kept)
    figures = {}
    for m, name in enumerate(vectors.modalities):
        there = np.broadcast_to(vectors.mask[:, None, m], kept.shape[:2])
        cosine = before.cosine_above(1, m, 1 - TOP)
        figures[name] = {
            "dropped": float(false[:, :, m][there].mean()),
            "dropped_by_half": float(1 - kept[:, :, m][there].mean()),
            "closer_share_before": before.closer_share(there, m),
            "closer_share_after": after.closer_share(there & kept[:, :, m], m),
            "top_lift_before": before.lift_above(1, m, cosine),
            "top_lift_after": after.lift_above(1, m, cosine),
        }
    return figures


def diversity_figures(model: Recommender, data: Dataset, vectors: ItemVectors) -> Figures:
    """Measure what a model recommends to every user: ``LENGTH`` items, none of them used before.

    An item's vector is the mean of its encoded descriptions, scaled to unit length.
    """
    users, items = data.shape
    found = model.recommend(data.user_ids.to_list(), LENGTH)
    order = {name: position for position, name in enumerate(data.item_ids)}
    index = {name: position for position, name in enumerate(data.user_ids)}
    lists = np.full((users, LENGTH), -1, dtype=np.int64)
    row = found["user_id"].replace_strict(index, return_dtype=pl.Int64).to_numpy()
    column = found["rank"].to_numpy() - 1
    lists[row, column] = found["item_id"].replace_strict(order, return_dtype=pl.Int64).to_numpy()
    described = unit(unit(vectors.positive).sum(1))  # [items, d]
    known: NDArray[np.bool_] = np.logical_or.reduce(vectors.mask, axis=1)  # [items]
    item_users = np.bincount(data.train.indices, minlength=items).astype(np.int64)
    figures = {
        f"coverage@{LENGTH}": coverage(lists, items),
        f"gini@{LENGTH}": gini(lists, items),
        f"intra_list_distance@{LENGTH}": intra_list_distance(lists, described, known),
        f"novelty@{LENGTH}": novelty(lists, item_users, users),
    }
    return {name: None if np.isnan(value) else value for name, value in figures.items()}


def balance(distances: dict[str, float | None]) -> float | None:
    """Return the least over the greatest mean distance of a modality; None with one modality."""
    known = [distance for distance in distances.values() if distance]
    return min(known) / max(known) if len(known) > 1 else None


def _all(vectors: ItemVectors) -> NDArray[np.bool_]:
    return np.ones(vectors.negative.shape[:2], dtype=np.bool_)


def _top_lift(preference: Preference, kind: int, modality: int) -> float | None:
    return preference.lift_above(kind, modality, preference.cosine_above(kind, modality, 1 - TOP))


def _mean(column: pl.Series) -> float | None:
    mean = column.mean()
    return mean if isinstance(mean, float) else None
