"""The index gives the best allowed items; the graph nearly, and exactly where it matters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neggen.models.ease import EASE
from neggen.models.mf import MF
from neggen.serving.index import (
    MAX_FETCHED,
    ExactIndex,
    HNSWIndex,
    ScoreIndex,
    build_index,
)
from neggen.serving.settings import ServeSettings
from neggen.testing import checkerboard, refuses

NOTHING = np.empty(0, dtype=np.int64)


def settings(**changes: object) -> ServeSettings:
    return ServeSettings(run=Path("run"), root=Path(), **changes)


@pytest.fixture(scope="module")
def exact() -> ExactIndex:
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(40, 16, generator=generator)
    kinds = torch.randint(40, (3000,), generator=generator)
    items = centers[kinds] + torch.randn(3000, 16, generator=generator)
    users = centers[torch.randint(40, (50,), generator=generator)]
    return ExactIndex(users, items)


def test_exact_agrees_with_sorting_and_blocks(exact: ExactIndex) -> None:
    scores = (exact.items @ exact.users[3]).numpy()
    order = np.argsort(-scores)
    found = exact.search(3, 10, order[:5])
    assert found.items.tolist() == order[5:15].tolist()
    assert np.allclose(found.scores, scores[order[5:15]])
    assert len(exact.search(3, 5000, order[:2990]).items) == 10


def test_the_graph_finds_nearly_what_the_comparison_does(exact: ExactIndex) -> None:
    graph = HNSWIndex(exact, least_recall=0.95)
    hits = [
        np.isin(exact.search(user, 20, NOTHING).items, graph.search(user, 20, NOTHING).items)
        for user in range(50)
    ]
    assert graph.recall == pytest.approx(np.mean(hits))
    assert graph.recall >= 0.95
    found = graph.search(7, 20, NOTHING)
    assert (np.diff(found.scores) <= 0).all()
    assert np.allclose(found.scores, (exact.items @ exact.users[7]).numpy()[found.items])


@pytest.mark.parametrize("blocked", [30, MAX_FETCHED + 1, 2990])
def test_the_graph_fills_lists_whatever_is_blocked(exact: ExactIndex, blocked: int) -> None:
    graph = HNSWIndex(exact, least_recall=0.95)
    order = exact.search(0, 3000, NOTHING).items
    found = graph.search(0, 20, order[:blocked])
    assert len(found.items) == min(20, 3000 - blocked)
    assert not set(found.items) & set(order[:blocked])
    assert set(found.items) <= set(order[blocked : blocked + 60])


def test_what_suits_a_model() -> None:
    data = checkerboard()
    factors, rows = MF(epochs=1, dim=8).fit(data), EASE().fit(data)
    assert isinstance(build_index(factors, settings()), ExactIndex)
    assert isinstance(build_index(factors, settings(max_exact=3)), HNSWIndex)
    assert isinstance(build_index(factors, settings(max_exact=3, index="exact")), ExactIndex)
    assert isinstance(build_index(rows, settings()), ScoreIndex)
    with refuses("ease", "HNSW"):
        build_index(rows, settings(index="hnsw"))


@pytest.mark.parametrize("model", [MF(epochs=1, dim=8), EASE()])
def test_lists_are_those_of_the_model(model: MF | EASE) -> None:
    data = checkerboard()
    model.fit(data)
    index = build_index(model, settings())
    for user in range(len(data.user_ids)):
        listed = model.recommend([data.user_ids[user]], k=5)
        found = index.search(user, 5, data.everything[user].indices.astype(np.int64))
        assert np.allclose(found.scores, listed["score"], atol=1e-5)
        assert set(data.item_ids[found.items]) == set(listed["item_id"])
