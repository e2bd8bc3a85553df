"""The best items for people, known or not: what is allowed, ranked, spread out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.data.indexing import incidence, index_of
from neggen.errors import NegGenError
from neggen.evaluation.ranking import CHUNK_SCORES, users_at_once
from neggen.models.diversity import POOL, spread

if TYPE_CHECKING:
    from neggen.models.base import Recommender


class People(NamedTuple):
    """Whom to recommend to."""

    names: pl.Series
    """External ids, ``[people]``."""
    seen: csr_matrix
    """What they are known to have used, 0/1 ``[people, items]``."""
    score: Callable[[slice], Tensor]
    """What some of them think of everything that is ranked, float ``[some, ranked]``."""


def recommend(
    model: Recommender,
    users: Sequence[str] | Mapping[str, Sequence[str]],
    k: int,
    *,
    exclude_seen: bool,
    candidates: Sequence[str] | None,
    exclude: Sequence[str] | None,
    diversity: float,
) -> pl.DataFrame:
    """Do what :meth:`Recommender.recommend` says."""
    check_k(k)
    items = model._fitted_items()
    people = people_of(model, users, model.score_index, model.score_histories)
    blocked = blocked_items(model._item_index, candidates, exclude)
    return best_lists(
        people,
        items,
        k,
        seen=people.seen if exclude_seen else None,
        blocked=blocked,
        vectors=model.item_vectors,
        diversity=diversity,
        device=model.config.device,
    )


def best_lists(
    people: People,
    items: pl.Series,
    k: int,
    *,
    seen: csr_matrix | None,
    blocked: NDArray[np.bool_] | None,
    vectors: Callable[[Tensor], Tensor],
    diversity: float,
    device: str,
) -> pl.DataFrame:
    """Return everybody's list, as :meth:`Recommender.recommend` does.

    Args:
        people: whom the lists are for.
        items: external ids of what is ranked, ``[items]``.
        k: how many items each.
        seen: 0/1 ``[people, items]``; these pairs are left out.
        blocked: bool ``[items]``; these items are left out.
        vectors: positions of items, int64 ``[batch]``, to what tells which are alike.
        diversity: from 0 to 1; see :func:`neggen.models.diversity.spread`.
        device: where the scores are, which decides how many are held at once.

    Raises:
        NegGenError: If ``diversity`` is out of range.
    """
    if not 0 <= diversity <= 1:
        raise NegGenError(f"diversity = {diversity} is not allowed: it goes from 0 to 1.")
    pool, size = min(max(10 * k, POOL), len(items)), users_at_once(len(items), device)
    if diversity:
        width = vectors(torch.zeros(1, dtype=torch.int64)).shape[1]
        size = max(1, min(size, CHUNK_SCORES // (pool * width)))
    frames = []
    for start in range(0, max(1, len(people.names)), size):
        chunk = slice(start, start + size)
        scores = people.score(chunk).float()  # [chunk, items]
        nothing = scores.new_tensor(-torch.inf)
        if blocked is not None:
            scores.masked_fill_(torch.from_numpy(blocked).to(scores.device), nothing)
        if seen is not None:
            scores.index_put_(_entries(seen[chunk], scores.device), nothing)
        best, places = scores.topk(pool if diversity else min(k, len(items)), dim=1)
        if diversity:
            best, places = spread(vectors, best, places, k, diversity)
        frames.append(ranked(people.names[chunk], items, best, places))
    return pl.concat(frames)


def ranked(people: pl.Series, items: pl.Series, scores: Tensor, places: Tensor) -> pl.DataFrame:
    """Return lists of items as :meth:`Recommender.recommend` does.

    Args:
        people: external ids, ``[people]``.
        items: external ids, ``[items]``.
        scores: of the lists, float ``[people, k]``; what is not finite is left out.
        places: positions in ``items`` of what is listed, int64 ``[people, k]``.
    """
    shape = places.shape
    frame = pl.DataFrame(
        {
            "user_id": people[np.repeat(np.arange(shape[0]), shape[1])],
            "rank": np.tile(np.arange(1, shape[1] + 1), shape[0]),
            "item_id": items[places.cpu().numpy().ravel()],
            "score": scores.cpu().numpy().ravel(),
        }
    )
    return frame.filter(pl.col("score").is_finite())


def blocked_items(
    index: Mapping[str, int], candidates: Sequence[str] | None, exclude: Sequence[str] | None
) -> NDArray[np.bool_] | None:
    """Return which items may not be listed, bool ``[items]``; None if all may.

    Args:
        index: positions of the items by external id.
        candidates: external ids; all others are blocked.
        exclude: external ids; these are blocked.

    Raises:
        NegGenError: If an item is unknown.
    """
    if candidates is None and not exclude:
        return None
    blocked = np.full(len(index), candidates is not None)
    if candidates is not None:
        blocked[index_of(candidates, index, "item")] = False
    blocked[index_of(exclude or [], index, "item")] = True
    return blocked


def history_matrix(model: Recommender, histories: Mapping[str, Sequence[str]]) -> csr_matrix:
    """Return histories by name as a 0/1 CSR matrix ``[people, items]``, each item counted once.

    Raises:
        NegGenError: If an item is unknown, or a history is one string.
    """
    items = model._fitted_items()
    used: list[NDArray[np.int64]] = []
    for name, history in histories.items():
        if isinstance(history, str):
            raise NegGenError(
                f"The history of '{name}' is one string, '{history}'; give a list of item ids."
            )
        used.append(model._items(history))
    rows = np.repeat(np.arange(len(used), dtype=np.int32), [len(each) for each in used])
    columns = np.concatenate([np.empty(0, np.int64), *used]).astype(np.int32)
    return incidence(rows, columns, (len(used), len(items)))


def check_k(k: int) -> None:
    """Check that a list is to have an item.

    Raises:
        NegGenError: If not.
    """
    if k < 1:
        raise NegGenError(f"k = {k} is not allowed: ask for at least one item.")


def people_of(
    model: Recommender,
    users: Sequence[str] | Mapping[str, Sequence[str]],
    by_index: Callable[[Tensor], Tensor],
    by_history: Callable[[csr_matrix], Tensor],
) -> People:
    """Return known users, or people with histories, and what tells their scores.

    Args:
        model: which knows the users and the items.
        users: external ids, or histories by name.
        by_index: gives the scores of internal users, int64 ``[batch]``.
        by_history: gives the scores of people by 0/1 CSR histories ``[batch, items]``.

    Raises:
        NegGenError: If a user or an item is unknown.
    """
    if isinstance(users, Mapping):
        histories = history_matrix(model, users)
        names = pl.Series([str(name) for name in users], dtype=pl.String)
        return People(names, histories, lambda some: by_history(histories[some]))
    index = model._users(users)
    assert model.user_ids is not None  # `_users` saw to it
    seen, names = model._seen[index], model.user_ids[index]
    return People(names, seen, lambda some: by_index(torch.from_numpy(index[some])))


def _entries(matrix: csr_matrix, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the row and the column of every entry, each int64 ``[entries]``."""
    found = matrix.tocoo()
    rows, columns = found.row.astype(np.int64), found.col.astype(np.int64)
    return torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)
