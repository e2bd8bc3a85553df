"""Paired tests against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from neggen.evaluation.significance import compare, compare_over_seeds, holm


def test_figures_by_hand() -> None:
    theirs = np.array([1.0, 1.0, 2.0])
    found = compare(theirs + np.array([1.0, 2.0, 3.0]), theirs)
    assert found.users == 3
    assert found.gain == 2
    assert found.relative_gain == 2 / (4 / 3)
    assert found.effect_size == 2  # mean 2, standard deviation 1
    # t = 2 / (1 / sqrt 3) with two degrees of freedom, whose tail is in closed form:
    t = 2 * math.sqrt(3)
    assert found.t_test == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    # Ranks 1, 2, 3 are all positive: one of the 2³ ways of drawing signs, on either side.
    assert found.wilcoxon == pytest.approx(2 / 8)


def test_the_other_way_about_is_as_likely() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((2, 30))
    there, back = compare(ours, theirs), compare(theirs, ours)
    assert there.t_test == pytest.approx(back.t_test)
    assert there.wilcoxon == pytest.approx(back.wilcoxon)
    assert there.gain == -back.gain


def test_users_without_a_difference_are_left_out_of_the_signed_ranks() -> None:
    zeros = np.zeros(5)
    assert compare(np.array([1.0, 2.0, 3.0, 0, 0]), zeros).wilcoxon == pytest.approx(2 / 8)


def test_many_tied_differences_by_hand() -> None:
    gains = np.repeat([0.0, 1.0, -1.0, 2.0], [30, 40, 20, 10])
    # 70 differ: 60 share the ranks 1 to 60, so have 30.5, and 10 have 65.5.
    z = 40 * 30.5 + 10 * 65.5 - 70 * 71 / 4
    z /= math.sqrt(70 * 71 * 141 / 24 - (60**3 - 60 + 10**3 - 10) / 48)
    found = compare(gains, np.zeros(100))
    assert found.wilcoxon == pytest.approx(math.erfc(z / math.sqrt(2)))


def test_one_user_or_one_difference_tells_nothing_of_spread() -> None:
    alone = compare(np.array([1.0]), np.array([0.0]))
    assert (alone.t_test, alone.wilcoxon, alone.effect_size) == (1, 1, None)
    assert compare(np.array([2.0, 3.0]), np.array([1.0, 2.0])).effect_size is None


@pytest.mark.parametrize("size", [1, 4])
def test_nothing_differs(size: int) -> None:
    same = np.zeros(size)
    found = compare(same, same)
    assert (found.t_test, found.wilcoxon, found.effect_size) == (1, 1, None)
    assert found.relative_gain is None


def test_holm_by_hand() -> None:
    # 0.005 · 4 = 0.02; 0.01 · 3 = 0.03; 0.03 · 2 = 0.06; 0.04 · 1 rises to 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_a_user_of_several_seeds_counts_once() -> None:
    ours = pl.DataFrame({"user_id": ["a", "b", "a", "c"], "ndcg@20": [1.0, 0.5, 0.0, 1.0]})
    theirs = pl.DataFrame({"user_id": ["b", "a", "a"], "ndcg@20": [0.0, 0.2, 0.2]})
    found = compare_over_seeds(ours, theirs, "ndcg@20")
    assert found == compare(np.array([0.5, 0.5]), np.array([0.2, 0.0]))
