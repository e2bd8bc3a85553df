"""Models that compare items by what they are, against plain numpy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from neggen.config import Content
from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.errors import NegGenError
from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.base import Recommender
from neggen.models.content import content_of
from neggen.models.content_ease import ContentEASE
from neggen.models.content_knn import ContentKNN
from neggen.models.content_lightgcn import ContentLightGCN
from neggen.models.ease import EASE
from neggen.models.frozen_graph import FrozenGraph
from neggen.models.popularity import Popularity
from neggen.testing import RecommenderContract, checkerboard


def with_texts(data: Dataset) -> Dataset:
    """Return the checkerboard with own texts that tell its groups apart; item 3 has none."""
    vectors = data.vectors
    assert vectors is not None
    noise = np.random.default_rng(5).normal(0, 0.1, vectors.positive[:, 1].shape)
    text = (vectors.positive[:, 1] + noise).astype(np.float32)  # [items, d]
    text[3] = 0
    return data.replace(vectors=dataclasses.replace(vectors, text=text))


class ContentContract(RecommenderContract):
    """The contract, on data whose items' own texts are encoded."""

    def data(self) -> Dataset:
        return with_texts(checkerboard())


class TestContentKNN(ContentContract):
    by_history = True

    def model(self) -> Recommender:
        return ContentKNN(content="both")


class TestContentEASE(ContentContract):
    by_history = True

    def model(self) -> Recommender:
        return ContentEASE(regularization=10.0)


class TestFrozenGraph(ContentContract):
    def model(self) -> Recommender:
        return FrozenGraph(dim=16, layers=2, learning_rate=0.05, epochs=8)


class TestContentLightGCN(ContentContract):
    def model(self) -> Recommender:
        return ContentLightGCN(dim=16, layers=2, learning_rate=0.05, epochs=20)


class TestContentMF(ContentContract):
    def model(self) -> Recommender:
        return ContentLightGCN(dim=16, layers=0, learning_rate=0.05, epochs=20, content="text")


def expected_content(vectors: ItemVectors, content: Content) -> np.ndarray:
    """Return the rows of ``content_of``, item by item."""
    parts = []
    if content in ("text", "both"):
        assert vectors.text is not None
        parts.append((vectors.text, [row.any() for row in vectors.text]))
    if content in ("descriptions", "both"):
        parts += [(vectors.positive[:, m], vectors.mask[:, m]) for m in range(2)]
    rows = []
    for item in range(len(vectors.mask)):
        row: list[float] = []
        for values, present in parts:
            mean = values[np.asarray(present)].astype(np.float64).mean(0)
            own = values[item] - mean
            row += list(own / np.linalg.norm(own)) if present[item] else [0.0] * len(own)
        rows.append(np.array(row) / max(np.linalg.norm(row), 1e-9))
    return np.stack(rows)


@pytest.mark.parametrize("content", ["text", "descriptions", "both"])
def test_content_is_centered_and_of_unit_length_in_every_part(content: Content) -> None:
    vectors = with_texts(checkerboard()).vectors
    assert vectors is not None
    rows = content_of(vectors, content)
    assert rows.dtype == np.float32
    assert np.allclose(rows, expected_content(vectors, content), atol=1e-5)
    assert rows[3].any() == (content != "text")


def test_content_that_is_not_there_is_an_error() -> None:
    vectors = checkerboard().vectors
    assert vectors is not None
    assert content_of(vectors, "descriptions").shape == (40, 16)
    with pytest.raises(NegGenError, match="own texts are not encoded; run neggen encode, or set"):
        content_of(vectors, "both")
    blank = dataclasses.replace(vectors, text=np.zeros((40, 8), dtype=np.float32))
    with pytest.raises(NegGenError, match="No item has a text of its own; set content=descr"):
        content_of(blank, "text")
    assert np.allclose(content_of(blank, "both")[:, 8:], content_of(vectors, "descriptions"))


def test_knn_is_the_mean_cosine() -> None:
    data = with_texts(checkerboard())
    assert data.vectors is not None
    data = data.replace(parts=np.where(data.users == 5, 1, data.parts))  # user 5 trains on nothing
    scores = ContentKNN().fit(data).score_index(torch.tensor([4, 5])).numpy()
    rows = expected_content(data.vectors, "text")
    history = data.train[4].indices
    for item in range(data.shape[1]):
        assert scores[0, item] == pytest.approx(
            np.mean([rows[item] @ rows[other] for other in history]), abs=1e-5
        )
    assert not scores[1].any()


def test_knn_ranks_items_that_nobody_has_used() -> None:
    data = with_texts(checkerboard()).split("cold-items")
    figures = evaluate_ranking(ContentKNN().fit(data).score_index, data.train, data.valid)
    by_count = evaluate_ranking(Popularity().fit(data).score_index, data.train, data.valid)
    assert figures.metrics["ndcg@20"] > 2 * by_count.metrics["ndcg@20"]


def test_ease_weights_are_the_closed_form() -> None:
    data = with_texts(checkerboard())
    assert data.vectors is not None
    model = ContentEASE(regularization=3.0, content_weight=7.0, content="both").fit(data)
    rows, train = expected_content(data.vectors, "both"), data.train.toarray().astype(np.float64)
    inverse = np.linalg.inv(train.T @ train + 7.0 * rows @ rows.T + 3.0 * np.eye(len(rows)))
    expected = np.eye(len(inverse)) - inverse @ np.diag(1 / np.diag(inverse))
    assert np.abs(model.weights.numpy() - expected).max() < 1e-5
    plain = ContentEASE(regularization=3.0, content_weight=0.0).fit(data)
    assert np.allclose(plain.weights, EASE(regularization=3.0).fit(data).weights, atol=1e-6)
