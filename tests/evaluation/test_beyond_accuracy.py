"""Measures of lists whose values can be told by hand."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

from neggen.evaluation import beyond_accuracy
from neggen.evaluation.beyond_accuracy import (
    average_popularity,
    coverage,
    exposure,
    gini,
    intra_list_distance,
    novelty,
)

LISTS = np.array([[0, 1, 2], [0, 1, -1], [0, -1, -1]])


def test_examples_in_docstrings() -> None:
    results = doctest.testmod(beyond_accuracy)
    assert results.failed == 0
    assert results.attempted > 3


def test_exposure_and_coverage_pass_over_the_end_of_a_list() -> None:
    assert exposure(LISTS, 5).tolist() == [3, 2, 1, 0, 0]
    assert coverage(LISTS, 5) == 0.6


def test_average_popularity_is_a_mean_over_lists() -> None:
    users = np.array([6, 2, 1, 0, 100])
    assert average_popularity(LISTS, users) == pytest.approx(
        ((6 + 2 + 1) / 3 + (6 + 2) / 2 + 6) / 3
    )
    some = np.array([[0, 1], [-1, -1]])
    assert average_popularity(some, users) == 4, "an empty list says nothing"
    assert math.isnan(average_popularity(some[1:], users))


def test_gini_is_the_mean_difference_over_twice_the_mean() -> None:
    shown = exposure(LISTS, 5)
    differences = np.abs(shown[:, None] - shown).mean()
    assert gini(LISTS, 5) == pytest.approx(differences / (2 * shown.mean()))
    assert math.isnan(gini(np.full((2, 3), -1), 5))


def test_novelty() -> None:
    users = np.array([16, 4, 0, 1, 1])
    assert novelty(LISTS, users, 16) == pytest.approx((3 * 0 + 2 * 2 + 1 * 4) / 6)
    assert math.isnan(novelty(np.full((2, 3), -1), users, 16))


def test_intra_list_distance_is_the_mean_over_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(30, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    known = np.arange(30) != 4
    lists = np.stack([rng.permutation(30)[:6] for _ in range(9)])
    lists[0, 3:] = -1
    lists[1, 1:] = -1  # a list of one has no pairs
    wanted = []
    for row in lists:
        items = [item for item in row if item >= 0 and known[item]]
        pairs = [1 - vectors[a] @ vectors[b] for a in items for b in items if a != b]
        wanted += [np.mean(pairs)] if pairs else []
    assert len(wanted) == 8
    assert intra_list_distance(lists, vectors, known) == pytest.approx(np.mean(wanted), abs=1e-6)
    monkeypatch.setattr(beyond_accuracy, "CHUNK_VECTORS", 100)
    assert intra_list_distance(lists, vectors, known) == pytest.approx(np.mean(wanted), abs=1e-6)
    assert math.isnan(intra_list_distance(lists[1:2], vectors, known))
