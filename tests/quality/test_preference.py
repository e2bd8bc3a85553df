"""What users tell: planted answers, and the same by loops over users."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from neggen.data.vectors import ItemVectors
from neggen.negatives import false_negatives
from neggen.quality.neighbours import nearest_items
from neggen.quality.preference import (
    QUANTILES,
    Preference,
    measure_preference,
    neighbour_lift,
    swapped,
)


@pytest.fixture
def world() -> tuple[csr_matrix, ItemVectors]:
    rng = np.random.default_rng(3)
    train = csr_matrix((rng.random((30, 25)) < 0.3).astype(np.float32))
    positive = rng.normal(size=(25, 2, 5)).astype(np.float32)
    negative = rng.normal(size=(25, 2, 2, 5)).astype(np.float32)
    return train, ItemVectors(("image", "text"), positive, negative, rng.random((25, 2)) < 0.8)


def measured(train: csr_matrix, vectors: ItemVectors, kept=None) -> Preference:
    return measure_preference(train, vectors, kept)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("block", [1 << 22, 60])
def test_the_closer_share_is_that_of_a_loop_over_users(
    world, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(false_negatives, "BLOCK_PAIRS", block)
    monkeypatch.setattr(false_negatives, "LEAST_ROWS", 1)
    train, vectors = world
    preference = measured(train, vectors)
    nearer, pairs = np.zeros((25, 2, 2)), np.zeros((25, 2))
    for user in range(30):
        used = train[user].indices
        for item in used:
            for other in used:
                for m in range(2):
                    if item == other or not vectors.mask[[item, other], m].all():
                        continue
                    pairs[item, m] += 1
                    real = vectors.positive[other, m]
                    before = cosine(vectors.positive[item, m], real)
                    for k in range(2):
                        nearer[item, k, m] += cosine(vectors.negative[item, k, m], real) > before
    assert np.array_equal(preference.pairs, pairs)
    there = np.broadcast_to((pairs > 0)[:, None], nearer.shape)
    assert np.array_equal(np.isfinite(preference.closer), there)
    shares = (nearer / np.maximum(pairs, 1)[:, None])[there]
    assert np.allclose(preference.closer[there], shares)
    every = np.ones((25, 2), np.bool_)
    for m in range(2):
        wanted = nearer[:, :, m].sum() / (2 * pairs[:, m].sum())
        assert preference.closer_share(every, m) == pytest.approx(wanted)
    assert preference.closer_share(~every, 0) is None


def planted() -> tuple[csr_matrix, ItemVectors]:
    """Ten items on ten axes; 2p and 2p + 1 are used together. Three negatives are the partner."""
    dense = np.zeros((50, 10), dtype=np.float32)
    for pair in range(5):
        dense[10 * pair : 10 * pair + 10, [2 * pair, 2 * pair + 1]] = 1
    axes = np.eye(20, dtype=np.float32)
    negative = axes[10:].copy()
    for item in (0, 3, 7):
        negative[item] = axes[item ^ 1]
    mask = np.ones((10, 1), dtype=np.bool_)
    return csr_matrix(dense), ItemVectors(("text",), axes[:10, None], negative[:, None, None], mask)


def test_three_of_ten_are_closer_to_what_their_users_also_use() -> None:
    train, vectors = planted()
    preference = measured(train, vectors)
    assert np.flatnonzero(preference.closer[:, 0, 0]).tolist() == [0, 3, 7]
    assert preference.closer_share(np.ones((10, 1), np.bool_), 0) == pytest.approx(0.3)


def test_lift_of_neighbours() -> None:
    train, vectors = planted()
    lift = neighbour_lift(train, nearest_items(vectors, 1))
    # Of 90 ordered pairs only ten are used at all, and all items are used alike: their lift is 9.
    assert np.allclose(lift[[0, 3, 7], 1, 0], 9)
    # Everything else is as near to all others: together they are an average pair.
    assert np.allclose(neighbour_lift(train, nearest_items(vectors, 9)), 1)


@pytest.mark.parametrize("block", [1 << 22, 60])
def test_lift_of_neighbours_is_that_of_a_sum_over_them(
    world, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(false_negatives, "BLOCK_PAIRS", block)
    monkeypatch.setattr(false_negatives, "LEAST_ROWS", 1)
    train, vectors = world
    neighbours = nearest_items(vectors, 4)
    lift = neighbour_lift(train, neighbours)
    observed, expected = false_negatives.CoConsumption(train).block(slice(0, 25))
    for item, text, m in np.ndindex(25, 3, 2):
        near = neighbours.items[item, text, m]
        if not vectors.mask[item, m]:
            assert np.isnan(lift[item, text, m])
            continue
        wanted = observed[item, near].sum() / expected[item, near].sum()
        assert lift[item, text, m] == pytest.approx(wanted, rel=1e-5)


def test_swapped_negatives_are_all_of_another_item(world) -> None:
    _, vectors = world
    other = swapped(vectors, seed=0)
    for m in range(2):
        has = vectors.mask[:, m]
        before, after = vectors.negative[has, :, m], other.negative[has, :, m]
        assert (before != after).any((1, 2)).all()
        assert np.array_equal(np.sort(before, axis=0), np.sort(after, axis=0))
        assert np.array_equal(vectors.negative[~has, :, m], other.negative[~has, :, m])
    assert np.array_equal(other.positive, vectors.positive)
    assert not np.array_equal(other.negative, swapped(vectors, seed=1).negative)


def test_the_lift_curve_rises_for_descriptions_and_falls_for_negatives() -> None:
    """Two camps of items; a description is near its own camp's, a negative near the other's."""
    rng = np.random.default_rng(4)
    camp = np.arange(60) % 2
    users = (rng.random((200, 60)) < np.where(camp == (np.arange(200) % 2)[:, None], 0.4, 0.1)) * 1
    axes = np.eye(2, 16, dtype=np.float32)
    noise = rng.normal(scale=0.2, size=(2, 60, 16)).astype(np.float32)
    positive, negative = axes[camp] + noise[0], axes[1 - camp] + noise[1]
    vectors = ItemVectors(
        ("text",), positive[:, None], negative[:, None, None], np.ones((60, 1), np.bool_)
    )
    preference = measured(csr_matrix(users.astype(np.float32)), vectors)
    real, changed = preference.curve(0, 0), preference.curve(1, 0)
    assert [point.share_to for point in real] == list(QUANTILES[1:])
    assert real[0].lift < 0.9 < 1.1 < real[-2].lift
    assert changed[0].lift > 1.1 > 0.9 > changed[-2].lift
    assert [p.cosine for p in real] == sorted(p.cosine for p in real)
    top = preference.cosine_above(1, 0, 0.9)
    assert preference.lift_above(1, 0, top) < 0.9
    assert preference.lift_above(1, 0, -1.0) == pytest.approx(1, abs=0.01), "over all pairs"


def test_every_pair_is_counted_once_and_filtered_ones_are_not(world) -> None:
    train, vectors = world
    kept = np.ones((25, 2, 2), np.bool_)
    kept[:, 1] = False
    kept[3] = False
    whole, part = measured(train, vectors), measured(train, vectors, kept)
    for m in range(2):
        n = int(vectors.mask[:, m].sum())
        assert whole.counted[:, m, 0].sum(1).tolist() == [n * (n - 1), 2 * n * (n - 1)]
        left = n - int(vectors.mask[3, m])
        assert part.counted[1, m, 0].sum() == left * (n - 1)
    assert np.array_equal(whole.counted[0], part.counted[0])


def test_without_interactions_there_is_nothing_to_tell() -> None:
    _, vectors = planted()
    preference = measured(csr_matrix((5, 10), dtype=np.float32), vectors)
    assert np.isnan(preference.closer).all()
    assert np.isnan(
        neighbour_lift(csr_matrix((5, 10), dtype=np.float32), nearest_items(vectors))
    ).all()
    assert preference.curve(1, 0) == []
    assert preference.lift_above(1, 0, -1.0) is None
