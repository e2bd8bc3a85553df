"""Linear NegGen against its closed form."""

from __future__ import annotations

import numpy as np
import pytest

from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.base import Recommender
from neggen.models.ease import EASE
from neggen.models.linear_neggen import LinearNegGen
from neggen.testing import RecommenderContract, checkerboard


class TestLinearNegGen(RecommenderContract):
    def model(self) -> Recommender:
        return LinearNegGen(regularization=10.0)


def test_weights_are_the_closed_form() -> None:
    data = checkerboard()
    model = LinearNegGen(regularization=3.0, content_weight=7.0, contrast=0.4).fit(data)
    vectors = data.vectors
    assert vectors is not None
    rows = np.zeros(vectors.positive.shape)
    for m in range(2):
        has = vectors.mask[:, m]
        positive = vectors.positive[has, m] - vectors.positive[has, m].mean(0)
        changed = vectors.negative[has, :, m] - vectors.negative[has, :, m].mean((0, 1))
        effect = positive - 0.4 * changed.mean(1)
        rows[has, m] = effect / np.sqrt(np.square(effect).sum(1).mean())
    content = rows.reshape(len(rows), -1)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    train = data.train.toarray().astype(np.float64)
    gram = train.T @ train + 7.0 * content @ content.T + 3.0 * np.eye(len(content))
    inverse = np.linalg.inv(gram)
    expected = np.eye(len(inverse)) - inverse @ np.diag(1 / np.diag(inverse))
    assert np.abs(model.weights.numpy() - expected).max() < 1e-5


def test_without_content_it_is_ease() -> None:
    data = checkerboard()
    model = LinearNegGen(regularization=3.0, content_weight=0.0).fit(data)
    assert np.allclose(model.weights, EASE(regularization=3.0).fit(data).weights, atol=1e-6)


@pytest.mark.parametrize("contrast", [0.0, 1.0])
def test_content_that_decides_helps(contrast: float) -> None:
    data = checkerboard()

    def ndcg(model: Recommender) -> float:
        result = evaluate_ranking(model.fit(data).score_index, data.train, data.valid)
        return result.metrics["ndcg@5"]

    plain = ndcg(EASE(regularization=50.0))
    helped = LinearNegGen(regularization=50.0, content_weight=50.0, contrast=contrast)
    assert ndcg(helped) > plain
