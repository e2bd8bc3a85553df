"""False negatives: found where they were planted, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from neggen.data.vectors import ItemVectors
from neggen.negatives import false_negatives as module
from neggen.negatives.false_negatives import (
    CoConsumption,
    Margins,
    false_negatives,
    item_blocks,
    typical,
    without,
)

ITEMS = 10
FALSE = {0, 3, 7}


def train() -> csr_matrix:
    """Items 2p and 2p + 1 are used together by ten users; nothing else is."""
    dense = np.zeros((50, ITEMS), dtype=np.float32)
    for pair in range(5):
        dense[10 * pair : 10 * pair + 10, [2 * pair, 2 * pair + 1]] = 1
    return csr_matrix(dense)


def partner(item: int) -> int:
    return item ^ 1


def vectors(fits, completions: int = 1) -> ItemVectors:
    """Describe every item by an axis of its own; ``fits[item]`` is the item its negative is."""
    axes = np.eye(2 * ITEMS, dtype=np.float32)
    negative = np.stack([axes[fits.get(item, ITEMS + item)] for item in range(ITEMS)])
    return ItemVectors(
        ("text",),
        axes[:ITEMS, None],
        np.repeat(negative[:, None, None], completions, axis=1),
        np.ones((ITEMS, 1), dtype=np.bool_),
    )


def test_exactly_the_planted_ones_are_found() -> None:
    fits = {item: partner(item) for item in FALSE}
    fits |= {5: 8, 6: 1}  # these fit an item that no user of 5 and 6 uses
    found = false_negatives(train(), vectors(fits))
    assert found.shape == (ITEMS, 1, 1)
    assert set(np.flatnonzero(found)) == FALSE


def test_the_absolute_margin() -> None:
    at = vectors({0: 1})
    at.negative[0, 0, 0] = 0
    at.negative[0, 0, 0, [1, 15]] = 0.6, 0.8  # cosine 0.6 to the partner's description
    assert false_negatives(train(), at, Margins(absolute=0.59))[0, 0, 0]
    assert not false_negatives(train(), at, Margins(absolute=0.61))[0, 0, 0]


def test_the_relative_margin() -> None:
    close = vectors({0: 1})
    close.positive[0, 0] = 0
    close.positive[0, 0, [1, 15]] = 0.96, 0.28  # the description is as near: 0.96 against 1
    assert false_negatives(train(), close, Margins(relative=0.03))[0, 0, 0]
    assert not false_negatives(train(), close, Margins(relative=0.05))[0, 0, 0]


def test_what_fits_is_judged_together() -> None:
    fitting = vectors({0: 1})
    fitting.positive[1:ITEMS, 0] = np.eye(2 * ITEMS)[1]  # one liked item among eight others alike
    assert not false_negatives(train(), fitting, Margins(lift=1.5))[0, 0, 0]
    assert false_negatives(train(), fitting, Margins(lift=0.5))[0, 0, 0]


def test_too_few_users_are_no_evidence() -> None:
    fits = vectors({0: 1})
    assert false_negatives(train(), fits, Margins(support=10))[0, 0, 0]
    assert not false_negatives(train(), fits, Margins(support=11)).any()


def test_missing_modalities_are_neither_false_nor_evidence() -> None:
    fits = vectors({item: partner(item) for item in range(ITEMS)})
    fits.mask[[0, 3]] = False
    found = false_negatives(train(), fits)
    assert set(np.flatnonzero(~found)) == {0, 1, 2, 3}


def test_every_completion_is_judged_by_itself() -> None:
    several = vectors({0: 1}, completions=3)
    several.negative[0, 1, 0] = np.eye(2 * ITEMS)[12]
    assert false_negatives(train(), several)[0, :, 0].tolist() == [True, False, True]


def test_the_length_of_a_vector_does_not_matter() -> None:
    fits = {item: partner(item) for item in FALSE}
    long = vectors(fits)
    scaled = ItemVectors(long.modalities, long.positive * 7, long.negative / 9, long.mask)
    assert np.array_equal(false_negatives(train(), scaled), false_negatives(train(), long))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = vectors({item: partner(item) for item in FALSE})
    whole = false_negatives(train(), fits)
    monkeypatch.setattr(module, "BLOCK_PAIRS", 3 * ITEMS)
    monkeypatch.setattr(module, "LEAST_ROWS", 1)
    assert [(block.start, block.stop) for block in item_blocks(ITEMS)] == [
        (0, 3), (3, 6), (6, 9), (9, 10),
    ]  # fmt: skip
    assert np.array_equal(false_negatives(train(), fits), whole)


def test_co_consumption() -> None:
    dense = (np.random.default_rng(0).random((40, 7)) < 0.4).astype(np.float32)
    observed, expected = CoConsumption(csr_matrix(dense)).block(slice(2, 5))
    together = dense.T @ dense
    np.fill_diagonal(together, 0)
    assert np.array_equal(observed, together[2:5])
    assert expected[0, 2] == expected[1, 3] == expected[2, 4] == 0
    assert observed.shape == expected.shape == (3, 7)
    whole_observed, whole_expected = CoConsumption(csr_matrix(dense)).block(slice(0, 7))
    assert whole_expected.sum() == pytest.approx(whole_observed.sum()), "an average pair has lift 1"
    degrees = dense.sum(0)
    assert whole_expected[0, 1] / whole_expected[2, 3] == pytest.approx(
        degrees[0] * degrees[1] / (degrees[2] * degrees[3])
    )


def test_without_interactions_nothing_is_false() -> None:
    assert not false_negatives(csr_matrix((5, ITEMS), dtype=np.float32), vectors({0: 1})).any()


def test_a_false_negative_says_nothing_of_its_own() -> None:
    many = vectors({0: 1}, completions=3)
    many.negative[0, 1, 0, 5] = 2
    many.negative[0, 2, 0, 6] = 4
    false = np.zeros((ITEMS, 3, 1), dtype=np.bool_)
    false[0, 0] = True
    out = without(many, false, typical(many, false)).negative
    np.testing.assert_allclose(out[0, 0], (many.negative[0, 1] + many.negative[0, 2]) / 2)
    np.testing.assert_array_equal(out[:, 1:], many.negative[:, 1:])

    false[0] = True  # no completion is left, so all that can be said is what negatives are like
    out = without(many, false, typical(many, false)).negative
    np.testing.assert_allclose(out[0, 0], many.negative[1:].mean((0, 1)), rtol=1e-6)
    np.testing.assert_array_equal(out[1:], many.negative[1:])
    some = replace(many, negative=many.negative[:1], mask=many.mask[:1])
    alone = without(some, false[:1], typical(many, false)).negative
    np.testing.assert_array_equal(alone, out[:1])  # of some items as of all
    none = np.zeros_like(false)
    same = without(many, none, typical(many, none)).negative
    np.testing.assert_array_equal(same, many.negative)
