"""Maximal marginal relevance against a loop that does what the equation says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from neggen.models import diversity, ranking
from neggen.models.diversity import spread
from neggen.models.ease import EASE
from neggen.testing import checkerboard


def by_hand(vectors: np.ndarray, scores: np.ndarray, k: int, d: float) -> list[int]:
    """Return places in the list, one user's, in the order they are chosen."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    places = [place for place in range(len(scores)) if np.isfinite(scores[place])]
    low, high = scores[places].min(), scores[places].max()
    chosen: list[int] = []
    while places and len(chosen) < k:
        values = [
            (1 - d) * (scores[i] - low) / (high - low)
            - d * max((units[i] @ units[j] for j in chosen), default=0)
            for i in places
        ]
        chosen.append(places.pop(int(np.argmax(values))))
    return chosen


@pytest.mark.parametrize("d", [0.1, 0.5, 0.9])
def test_every_user_gets_what_the_equation_says(d: float) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 5))
    places = np.stack([rng.permutation(40)[:15] for _ in range(6)])
    scores = -np.sort(-rng.normal(size=(6, 15)), axis=1)
    scores[2, 4:] = -np.inf  # four items are left for this user
    table = torch.from_numpy(vectors)
    best, found = spread(
        lambda items: table[items], torch.from_numpy(scores), torch.from_numpy(places), 7, d
    )
    for user in range(6):
        order = by_hand(vectors[places[user]], scores[user], 7, d)
        assert found[user, : len(order)].tolist() == places[user][order].tolist()
        assert best[user, : len(order)].tolist() == scores[user][order].tolist()
        assert (best[user, len(order) :] == -torch.inf).all()
    assert (best[2] > -torch.inf).sum() == 4


def test_equal_scores_and_items_without_vectors_are_ranked_too() -> None:
    def vectors(items: Tensor) -> Tensor:
        return torch.zeros(len(items), 3)

    best, places = spread(vectors, torch.ones(2, 4), torch.arange(8).view(2, 4), 3, 0.5)
    assert best.tolist() == [[1.0] * 3] * 2
    assert [len(set(row)) for row in places.tolist()] == [3, 3]


def test_users_at_once_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data = checkerboard()
    model, users = EASE(regularization=3.0).fit(data), data.user_ids.to_list()
    monkeypatch.setattr(diversity, "POOL", 12)
    whole = model.recommend(users, 5, diversity=0.4)
    monkeypatch.setattr(ranking, "CHUNK_SCORES", 2 * 40 * 40)
    parts = model.recommend(users, 5, diversity=0.4)
    assert parts.drop("score").equals(whole.drop("score"))


def test_the_pool_is_ten_times_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    data = checkerboard()
    model, users = EASE(regularization=3.0).fit(data), data.user_ids.to_list()
    monkeypatch.setattr(ranking, "POOL", 5)
    narrow = model.recommend(users, 1, diversity=1)
    assert narrow.equals(model.recommend(users, 1))
    best = model.recommend(users, 20).select("user_id", "item_id")
    listed = model.recommend(users, 2, diversity=1).select("user_id", "item_id")
    assert len(listed.join(best, on=["user_id", "item_id"])) == len(listed)
    assert listed["user_id"].equals(pl.Series("user_id", [u for u in users for _ in range(2)]))


def test_nobody_gets_no_list() -> None:
    model = EASE().fit(checkerboard())
    columns = ["user_id", "rank", "item_id", "score"]
    assert model.recommend([], 3, diversity=0.5).columns == columns
    assert model.recommend([], 3, diversity=0.5).is_empty()
