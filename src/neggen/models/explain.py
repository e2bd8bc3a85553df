"""Why an item is recommended: its key attributes, exchanged one at a time and scored again.

What a slot k of a description contributes to the score of a user u is what is lost when this slot
alone takes its replacement::

    contribution_k = t_u · (c_i − c_i^(k))

with the taste t_u and the effects c of a :class:`~neggen.models.described_items.Described` model.
The effects do not depend on the user, so each text is encoded once, whoever is told about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.data.dataset import Dataset, index_of
from neggen.data.vectors import ItemVectors
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.evaluation.ranking import users_at_once
from neggen.models.base import Recommender
from neggen.models.described_items import Described
from neggen.models.interventions import SLOT, intervene, learned_vectors
from neggen.models.ranking import history_matrix

AT_ONCE = 4096
"""People who are told at once, at most."""


def explain(
    model: Recommender,
    data: Dataset,
    users: Sequence[str],
    items: Sequence[str],
    encoder: TextEncoder,
    histories: Mapping[str, Sequence[str]] | None = None,
) -> pl.DataFrame:
    """Say which key attributes carry the scores of pairs of a user and an item.

    A description with a slot exchanged is encoded, its negative stays as it is. Where an item has
    several completions, the first one tells the replacements.

    Args:
        model: a fitted :class:`Described` model.
        data: what it was fitted on, with records and vectors.
        users: external ids, one a pair.
        items: external ids, one a pair, such as those of ``model.recommend``.
        encoder: the one that encoded ``data.vectors``.
        histories: what people used, by name; ``users`` are then such names.

    Returns:
        One row a pair and slot, pairs as given and then the largest contribution first:

        - ``user_id``, ``item_id``, ``modality``, ``slot`` (from 0), ``value``, ``replacement``;
        - ``contribution``: what ``causal`` loses if this slot alone is exchanged;
        - ``share``: the contribution over the sum of the pair's absolute contributions;
        - ``score``, what the item is ranked by; ``causal`` = t_u · c_i, which follows from the
          descriptions alone; and ``base``, the difference;
        - ``together``: what ``causal`` loses if all slots of all modalities are exchanged at once.
          It is not the sum of the contributions, since effects are not linear in the texts.

        A pair whose item has no record has no rows.

    Raises:
        NegGenError: If a user or item is unknown, the model is not fitted, not :class:`Described`
            or fitted on other data, or there are no records or vectors.
    """
    described, vectors = _check(model, data)
    if len(users) != len(items):
        raise NegGenError(
            f"{len(users)} users and {len(items)} items make no pairs; give one item a user."
        )
    if len(users) == 0:
        raise NegGenError("There is no pair of a user and an item to explain.")
    used = None if histories is None else history_matrix(model, histories)
    names = data.user_ids if histories is None else pl.Series(list(histories), dtype=pl.String)
    people, user_rows = np.unique(_positions(users, names, "user"), return_inverse=True)
    things, item_rows = np.unique(_positions(items, data.item_ids, "item"), return_inverse=True)
    found = intervene(described, data, vectors, things, encoder)

    order = np.argsort(user_rows, kind="stable")  # so that a block of people is a block of pairs
    person, thing = user_rows[order], item_rows[order]  # [pairs]
    slots = found.slots.with_row_index("row")
    parts = []
    with torch.no_grad():
        learned = learned_vectors(described, vectors, things)
        whole = described.effects_of(learned)  # [things, d]
        negatives = vectors.negative[things, 0]  # also where the model left them out
        lost = whole - described.effects_of(replace(learned, positive=negatives))
        block = min(AT_ONCE, users_at_once(len(data.item_ids), model.config.device))
        for start in range(0, len(people), block):
            some = people[start : start + block]
            if used is None:
                index = torch.from_numpy(some)
                tastes, scores = described.tastes(index), model.score_index(index)
            else:
                tastes, scores = described.tastes_by(used[some]), model.score_histories(used[some])
            pairs = slice(*np.searchsorted(person, [start, start + block]))
            who, what = person[pairs] - start, thing[pairs]
            told = pl.DataFrame(
                {
                    "pair": order[pairs],
                    "user_id": names[some[who]],
                    "person": who,
                    "item": things[what],
                    "score": scores.cpu().numpy()[who, things[what]],
                    "causal": _dots(tastes, who, whole, what),
                    "together": _dots(tastes, who, lost, what),
                }
            )
            rows = told.join(slots, on="item")
            contribution = _dots(
                tastes,
                rows["person"].to_numpy(),
                found.effects,
                rows["row"].to_numpy().astype(np.int64),
            )
            parts.append(rows.with_columns(contribution=pl.Series(contribution)))
    size = pl.col("contribution").abs().sum().over("pair")
    return (
        pl.concat(parts)
        .with_columns(base=pl.col("score") - pl.col("causal"))
        .with_columns(share=pl.when(size > 0).then(pl.col("contribution") / size).otherwise(0.0))
        .sort("pair", "contribution", "row", descending=[False, True, False])
        .select("user_id", *SLOT, "contribution", "share", "score", "causal", "base", "together")
    )


def slot_importance(
    model: Recommender, data: Dataset, items: Sequence[str], encoder: TextEncoder
) -> pl.DataFrame:
    """Say how much each key attribute of items matters to those who use them.

    Args:
        model: a fitted :class:`Described` model.
        data: what it was fitted on, split, with records and vectors.
        items: external ids.
        encoder: the one that encoded ``data.vectors``.

    Returns:
        One row a slot, as in :func:`explain` but for a user's columns: ``contribution`` is the
        mean over the item's training users, and ``users`` their number. Items that nobody used
        have no rows.

    Raises:
        NegGenError: As for :func:`explain`.
    """
    described, vectors = _check(model, data)
    wanted = np.unique(_positions(items, data.item_ids, "item"))
    used = data.train.T.tocsr()[wanted]  # [wanted, users]
    found = intervene(described, data, vectors, wanted, encoder)
    tastes = _mean_tastes(described, used)  # [wanted, d]
    rows = torch.from_numpy(np.searchsorted(wanted, found.slots["item"].to_numpy()))
    contribution = (tastes[rows.to(tastes.device)] * found.effects).sum(1)  # [slots]
    return found.slots.select(
        *SLOT,
        contribution=pl.Series(contribution.cpu().numpy()),
        users=pl.Series(np.diff(used.indptr)[rows.numpy()]),
    ).filter(pl.col("users") > 0)


def require_described(model: Recommender) -> Described:
    """Return the model if key attributes can explain it.

    Raises:
        NegGenError: If it does not score by descriptions.
    """
    if not isinstance(model, Described):
        raise NegGenError(
            f"The model '{model.name}' does not score by descriptions, so no key attribute can "
            f"explain it; take one that does, such as neggen."
        )
    return model


def _check(model: Recommender, data: Dataset) -> tuple[Described, ItemVectors]:
    described = require_described(model)
    if model.user_ids is None or model.item_ids is None:
        raise NegGenError(f"This {model.name} model is not fitted; call fit(data) first.")
    if not (model.user_ids.equals(data.user_ids) and model.item_ids.equals(data.item_ids)):
        raise NegGenError(
            f"This {model.name} model was fitted on other users or items than these data hold; "
            f"explain it with the data it was fitted on."
        )
    if data.records is None or data.vectors is None:
        missing = "records" if data.records is None else "vectors"
        raise NegGenError(
            f"These data have no {missing}, so there are no key attributes to explain by; generate "
            f"and encode them first."
        )
    return described, data.vectors


def _positions(ids: Iterable[str], known: pl.Series, what: str) -> NDArray[np.int64]:
    return index_of(ids, {name: position for position, name in enumerate(known)}, what)


def _dots(
    tastes: Tensor, people: NDArray[np.int64], effects: Tensor, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return t · c of pairs of a person and a row, ``[people, d]``, ``[…, d]`` to ``[pairs]``."""
    who, what = (torch.tensor(index, device=tastes.device) for index in (people, rows))
    dots: NDArray[np.float32] = (tastes[who] * effects[what]).sum(1).cpu().numpy()
    return dots


def _mean_tastes(model: Described, used: csr_matrix) -> Tensor:
    """Average the tastes of the users of items ``[items, users]``, to ``[items, d]``."""
    people = np.unique(used.indices)
    tastes = model.tastes(torch.from_numpy(people.astype(np.int64)))  # [people, d]
    shares = used[:, people] / np.maximum(np.diff(used.indptr), 1)[:, None]
    mean: NDArray[np.float32] = shares.tocsr() @ tastes.cpu().numpy()
    return torch.from_numpy(mean.astype(np.float32)).to(tastes.device)
