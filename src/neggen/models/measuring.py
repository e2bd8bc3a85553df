"""What the rankings of a model are worth: for all, for slices, and beyond being right."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.evaluation.beyond_accuracy import (
    average_popularity,
    gini,
    intra_list_distance,
    novelty,
)
from neggen.evaluation.ranking import RankingResult, candidates_of
from neggen.evaluation.slices import cold_items, found_in, inactive_users, tail_items
from neggen.models.base import Recommender
from neggen.models.evaluation import rank
from neggen.negatives.false_negatives import unit

LENGTH = 20
"""Length of the lists that slices and figures beyond accuracy are about."""
BEYOND = {
    "gini@20": "Gini@20",
    "novelty@20": "novelty@20",
    "popularity@20": "popularity@20",
    "intra_list_distance@20": "list distance@20",
}
"""Figures beyond being right, and what to call them."""
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Ranked:
    """A model's ranking of one part, measured.

    Attributes:
        result: the figures of every user.
        seconds: how long scoring and ranking took.
        slices: ``recall@20`` and ``ndcg@20`` by slice, with how many ``users`` and ``targets`` it
            has; None where it has none.
        beyond: what the lists are worth beside being right, by figure.
    """

    result: RankingResult
    seconds: float
    slices: dict[str, Figures]
    beyond: Figures


def measure(model: Recommender, data: Dataset, part: str) -> Ranked:
    """Rank a part once and measure all that the table tells of it."""
    target = data.matrix(part)
    started = time.monotonic()
    result = rank(model, data, part, target)
    seconds = time.monotonic() - started
    return Ranked(result, seconds, slices(result, data, target), beyond(result, data, target))


def all_figures(result: RankingResult, data: Dataset, part: str = "test") -> dict[str, float]:
    """Return all that one ranking tells: its means, those of slices, and what is beyond accuracy.

    A figure of a slice is called ``tail/ndcg@20``; ``tail/users`` and ``tail/targets`` say how many
    it is over. What there is none of is left out.

    Args:
        result: of :func:`neggen.evaluate`.
        data: what was evaluated on.
        part: the part that was ranked.

    Raises:
        NegGenError: If the ranking was not measured at 20.
    """
    if f"recall@{LENGTH}" not in result.per_user:
        raise NegGenError(f"Figures of slices are @{LENGTH}; evaluate with {LENGTH} among ks.")
    target = data.matrix(part)
    of_slices = {
        f"{name}/{figure}": value
        for name, figures in slices(result, data, target).items()
        for figure, value in figures.items()
    }
    found = {**beyond(result, data, target), **of_slices}
    known = {name: value for name, value in found.items() if value is not None}
    return {**result.metrics, **known}


def slices(result: RankingResult, data: Dataset, target: csr_matrix) -> dict[str, Figures]:
    """Return the figures of the tail, of cold items and of users who did little."""
    measured = target[result.users]
    found: dict[str, Figures] = {}
    item_users = _item_users(data)
    for name, items in (("tail", tail_items(item_users)), ("cold", cold_items(item_users))):
        of_users = found_in(result.lists, measured, items, LENGTH)
        some = ~np.isnan(of_users[f"recall@{LENGTH}"])
        found[name] = {
            "users": int(some.sum()),
            "targets": int(items[measured.indices].sum()),
            **{figure: _mean(values[some]) for figure, values in of_users.items()},
        }
    inactive = inactive_users(np.diff(data.train.indptr)[result.users])
    found["low-activity"] = {
        "users": int(inactive.sum()),
        "targets": int(np.diff(measured.indptr)[inactive].sum()),
        **{
            figure: _mean(result.per_user[figure][inactive])
            for figure in (f"recall@{LENGTH}", f"ndcg@{LENGTH}")
        },
    }
    return found


def beyond(result: RankingResult, data: Dataset, target: csr_matrix) -> Figures:
    """Return what the measured lists are worth beside being right; a distance needs vectors.

    Gini's index is over the items that could be ranked. An item's vector is the mean of its encoded
    descriptions, scaled to unit length.
    """
    lists = result.lists[:, :LENGTH]
    item_users = _item_users(data)
    candidates = candidates_of(target, data.train)
    place = np.arange(len(item_users)) if candidates is None else np.cumsum(candidates) - 1
    figures = {
        f"gini@{LENGTH}": gini(np.where(lists >= 0, place[lists], -1), int(place[-1]) + 1),
        f"novelty@{LENGTH}": novelty(lists, item_users, data.shape[0]),
        f"popularity@{LENGTH}": average_popularity(lists, item_users),
    }
    if data.vectors is not None:
        described = unit(unit(data.vectors.positive).sum(1))  # [items, d]
        known: NDArray[np.bool_] = np.logical_or.reduce(data.vectors.mask, axis=1)  # [items]
        figures[f"intra_list_distance@{LENGTH}"] = intra_list_distance(lists, described, known)
    return {name: None if np.isnan(value) else value for name, value in figures.items()}


def _item_users(data: Dataset) -> NDArray[np.int64]:
    return np.bincount(data.train.indices, minlength=data.shape[1]).astype(np.int64)


def _mean(values: NDArray[np.floating]) -> float | None:
    return float(values.mean()) if len(values) else None
