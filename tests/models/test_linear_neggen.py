"""Linear NegGen against its closed form."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.base import Recommender
from neggen.models.ease import EASE
from neggen.models.linear_neggen import LinearNegGen
from neggen.testing import RecommenderContract, checkerboard


class TestLinearNegGen(RecommenderContract):
    by_history = True

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


def test_new_items_are_scored_by_a_regression_on_content(tmp_path: Path) -> None:
    """Against dense algebra on the used items alone, in the catalogue and beside it."""
    data = checkerboard().split("cold-items", seed=2)
    text = np.random.default_rng(0).normal(size=data.vectors.positive[:, 0].shape)
    vectors = dataclasses.replace(data.vectors, text=text.astype(np.float32))
    settings = {"regularization": 3.0, "content_weight": 7.0, "new_item_regularization": 2.0}
    model = LinearNegGen(**settings, contrast=0.4).fit(data.replace(vectors=vectors))
    assert model.balance.modalities == (*vectors.modalities, "catalog")
    content = model.effects_of(vectors).numpy().astype(np.float64)
    assert np.allclose(np.linalg.norm(content, axis=1), 1)

    used = np.asarray(data.train.sum(0)).ravel() > 0
    assert 0 < used.sum() < len(used)
    train, known = data.train.toarray()[:, used].astype(np.float64), content[used]
    gram = train.T @ train + 7.0 * known @ known.T + 3.0 * np.eye(len(known))
    inverse = np.linalg.inv(gram)
    scores = train @ (np.eye(len(inverse)) - inverse @ np.diag(1 / np.diag(inverse)))
    tastes = np.linalg.solve(known.T @ known + 2.0 * np.eye(known.shape[1]), known.T @ scores.T).T

    users = torch.arange(len(train))
    assert np.abs(model.tastes(users).numpy() - tastes).max() < 1e-4
    found = model.score_index(users).numpy()
    assert np.abs(found[:, used] - scores).max() < 1e-4
    assert np.abs(found[:, ~used] - tastes @ content[~used].T).max() < 1e-4

    model.save(tmp_path)
    loaded = LinearNegGen.load(tmp_path)
    assert loaded.effects_of(vectors).equal(model.effects_of(vectors))
    assert loaded.tastes(users).equal(model.tastes(users))


def test_own_texts_count_unless_told_otherwise() -> None:
    data = checkerboard()
    text = np.random.default_rng(0).normal(size=data.vectors.positive[:, 0].shape)
    texts = data.replace(vectors=dataclasses.replace(data.vectors, text=text.astype(np.float32)))
    plain = LinearNegGen().fit(data)
    assert LinearNegGen(use_text=False).fit(texts).weights.equal(plain.weights)
    assert not torch.allclose(LinearNegGen().fit(texts).weights, plain.weights, atol=1e-3)
