"""From a request and a loaded run to an answer; nothing here waits or knows of HTTP."""

from __future__ import annotations

import time
from dataclasses import asdict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.errors import NegGenError
from neggen.models.reasons import strongest_reasons
from neggen.serving.index import Found
from neggen.serving.loaded import Loaded
from neggen.serving.refusals import Refusal
from neggen.serving.schemas import (
    BatchRequest,
    BatchResult,
    ErrorBody,
    ItemResponse,
    NewItemsRequest,
    Ranked,
    Reason,
    RecommendRequest,
    SimilarRequest,
)
from neggen.serving.words import Words

NAMED = 3
"""Unknown ids that a message names."""


def recommend(loaded: Loaded, request: RecommendRequest) -> list[Ranked]:
    """Return the best items for a user or a history.

    Raises:
        Refusal: If the user or an item is unknown, or the model cannot do what is asked.
    """
    words = _words(loaded) if request.explain else None
    exclude = _items(loaded, request.exclude, request.ignore_unknown)
    if request.user_id is not None:
        user = _user(loaded, request.user_id)
        if request.candidates is None and not request.diversity:
            blocked = _places(loaded, exclude)
            if request.exclude_seen:
                blocked = np.union1d(blocked, loaded.seen(user))
            listed = _listed(loaded, loaded.index.search(user, request.k, blocked))
            return _with_reasons(words, request.user_id, listed) if words else listed
    history = None
    if request.history is not None:
        history = _items(loaded, request.history, request.ignore_unknown)
    candidates = request.candidates
    if candidates is not None:
        candidates = _items(loaded, candidates, request.ignore_unknown)
    found = loaded.model.recommend(
        [request.user_id] if history is None else {"": history},  # type: ignore[list-item]
        request.k,
        exclude_seen=request.exclude_seen,
        candidates=candidates,
        exclude=exclude,
        diversity=request.diversity,
    )
    listed = _rows(found, "item_id")
    if words and request.user_id is not None:
        return _with_reasons(words, request.user_id, listed)
    return listed


def recommend_all(loaded: Loaded, batch: BatchRequest, until: float) -> list[BatchResult]:
    """Return the answers of several requests; one that is refused spoils no other.

    After ``until``, a time of ``time.monotonic``, nobody waits for the rest any more.
    """
    results = []
    for request in batch.requests:
        if time.monotonic() > until:
            break
        try:
            results.append(BatchResult(items=recommend(loaded, request)))
        except Refusal as refusal:
            error = ErrorBody(code=refusal.code, message=refusal.message)
            results.append(BatchResult(error=error))
        except NegGenError as error:
            results.append(BatchResult(error=ErrorBody(code="not_supported", message=str(error))))
    return results


def similar_items(loaded: Loaded, request: SimilarRequest) -> list[Ranked]:
    """Return the items most like an item.

    Raises:
        Refusal: If an item is unknown.
    """
    [item] = _items(loaded, [request.item_id], ignore_unknown=False)
    candidates = request.candidates
    if candidates is not None:
        candidates = _items(loaded, candidates, request.ignore_unknown)
    exclude = _items(loaded, request.exclude, request.ignore_unknown)
    found = loaded.model.similar_items([item], request.k, candidates=candidates, exclude=exclude)
    return _rows(found, "similar_item_id")


def new_items(loaded: Loaded, request: NewItemsRequest) -> tuple[list[Ranked], list[str]]:
    """Return items that the model has never seen, best first, and those that have no text.

    Raises:
        Refusal: If the user or an item of the history is unknown, a new item repeated or known, no
            new item has a text, or the model cannot do this.
    """
    words = _words(loaded)
    person: list[str] | dict[str, list[str]]
    if request.user_id is not None:
        _user(loaded, request.user_id)
        person = [request.user_id]
    else:
        history = _items(loaded, request.history or [], request.ignore_unknown)
        if not history:
            raise Refusal(422, "The model knows no item of the history, which is all there is.")
        person = {"somebody": history}
    items = {item.item_id: item.attributes for item in request.items}
    if len(items) < len(request.items):
        raise Refusal(422, "An item_id is repeated; every new item needs one of its own.")
    if known := [item for item in items if item in loaded.model._item_index]:
        raise Refusal(
            409,
            f"The model knows {_named(known)} from training; /v1/recommend ranks what it knows.",
            "known_item",
        )
    found, left_out = words.rank_new(person, items, request.k)
    if found is None:
        raise Refusal(
            422,
            f"No attribute of {_named(left_out)} holds a text to rank by; send at least a title or "
            f"a description of each.",
        )
    return _rows(found, "item_id"), left_out


def item(loaded: Loaded, item_id: str) -> ItemResponse:
    """Return what is known of an item.

    Raises:
        Refusal: If it is unknown.
    """
    [known] = _items(loaded, [item_id], ignore_unknown=False)
    place = loaded.model._item_index[known]
    users, attributes = int(loaded.users_of[place]), loaded.attributes_of(place)
    return ItemResponse(item_id=known, users=users, attributes=attributes)


def _user(loaded: Loaded, user_id: str) -> int:
    user = loaded.model._user_index.get(user_id)
    if user is None:
        raise Refusal(
            404,
            f"The model does not know user '{user_id}'; send what they used as history.",
            "unknown_user",
        )
    return user


def _items(loaded: Loaded, ids: list[str], ignore_unknown: bool) -> list[str]:
    """Return those ids that the model knows."""
    # Not left to the model, which looks for the nearest id: too long for a server.
    known = loaded.model._item_index
    unknown = [each for each in ids if each not in known]
    if unknown and not ignore_unknown:
        raise Refusal(404, f"The model does not know item {_named(unknown)}.", "unknown_item")
    return [each for each in ids if each in known] if unknown else ids


def _named(ids: list[str]) -> str:
    named = ", ".join(f"'{each}'" for each in ids[:NAMED])
    return named if len(ids) <= NAMED else f"{named} and {len(ids) - NAMED} more"


def _places(loaded: Loaded, ids: list[str]) -> NDArray[np.int64]:
    index = loaded.model._item_index
    return np.fromiter((index[each] for each in ids), dtype=np.int64, count=len(ids))


def _words(loaded: Loaded) -> Words:
    if isinstance(loaded.words, str):
        raise Refusal(409, loaded.words, "not_supported")
    return loaded.words


def _listed(loaded: Loaded, found: Found) -> list[Ranked]:
    ids = loaded.item_ids
    pairs = zip(found.items.tolist(), found.scores.tolist(), strict=True)
    return [Ranked(item_id=ids[item], rank=n, score=s) for n, (item, s) in enumerate(pairs, 1)]


def _rows(found: pl.DataFrame, item: str) -> list[Ranked]:
    rows = found.select(item, "score").iter_rows()
    return [Ranked(item_id=name, rank=n, score=score) for n, (name, score) in enumerate(rows, 1)]


def _with_reasons(words: Words, user_id: str, listed: list[Ranked]) -> list[Ranked]:
    """Name the key attributes that speak most for each item."""
    if not listed:
        return listed
    found = words.explain(user_id, [each.item_id for each in listed])
    strongest = strongest_reasons(found)
    told = {
        item: [Reason(**asdict(reason)) for reason in reasons]
        for (_, item), reasons in strongest.items()
    }
    return [each.model_copy(update={"reasons": told.get(each.item_id, [])}) for each in listed]
