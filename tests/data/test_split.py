"""Each rule of the split, checked against the rule as written, user by user."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neggen.config import DRAWN_SPLITS, SplitConfig, SplitKind
from neggen.data.dataset import Dataset
from neggen.data.split import draw_split
from neggen.errors import NegGenError

# One entry a user: how many items it has. The last makes every part non-empty.
user_sizes = st.lists(st.integers(1, 40), min_size=1, max_size=12).map(lambda s: [*s, 10])
seeds = st.integers(0, 2**32 - 1)


def log_of(sizes: list[int], seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Interactions of users with so many items each, in random order."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    items = np.concatenate([rng.permutation(50)[:size] for size in sizes]).astype(np.int32)
    order = rng.permutation(len(users))
    return users[order], items[order]


def held_out(size: int) -> tuple[int, int]:
    """Validation and test items of a user by the rule of MMRec, one user at a time."""
    if size < 3:
        return 0, 0
    if size < 10:
        return 1, 1
    both = int(size * 0.2)
    return both // 2, both - both // 2


@given(user_sizes, seeds)
def test_random_holds_out_by_rule(sizes: list[int], seed: int) -> None:
    users, items = log_of(sizes, seed)
    parts = draw_split(users, items, None, None, SplitConfig(kind="random", seed=seed))
    assert parts.dtype == np.uint8
    for user, size in enumerate(sizes):
        counts = np.bincount(parts[users == user], minlength=3)
        assert tuple(counts[1:]) == held_out(size)
        assert counts.sum() == size


@given(user_sizes, seeds)
def test_random_is_seeded(sizes: list[int], seed: int) -> None:
    users, items = log_of(sizes, seed)
    config = SplitConfig(kind="random", seed=seed)
    one, same = (draw_split(users, items, None, None, config) for _ in range(2))
    assert (one == same).all()


@pytest.mark.parametrize("kind", DRAWN_SPLITS)
def test_another_seed_draws_another_split(kind: SplitKind) -> None:
    users, items = log_of([30] * 20, 0)
    one, other = (
        draw_split(users, items, None, None, SplitConfig(kind=kind, seed=seed)) for seed in (0, 1)
    )
    assert (one != other).any()


@given(user_sizes, seeds)
def test_leave_last_takes_the_last_two(sizes: list[int], seed: int) -> None:
    users, items = log_of(sizes, seed)
    time = np.random.default_rng(seed).permutation(len(users))
    parts = draw_split(users, items, time, None, SplitConfig(kind="leave-last"))
    for user, size in enumerate(sizes):
        by_time = parts[users == user][np.argsort(time[users == user])].tolist()
        assert by_time == ([0] * size if size < 3 else [0] * (size - 2) + [1, 2])


def test_leave_last_counts_equal_times_in_the_order_of_the_table() -> None:
    users = np.zeros(4, dtype=np.int32)
    items = np.arange(4, dtype=np.int32)
    parts = draw_split(users, items, np.ones(4), None, SplitConfig(kind="leave-last"))
    assert parts.tolist() == [0, 0, 1, 2]


@given(st.lists(st.integers(0, 60), min_size=30, max_size=200))
def test_time_separates_before_from_after(times: list[int]) -> None:
    time = np.array(times)
    nothing = np.zeros(len(time), dtype=np.int32)
    config = SplitConfig(kind="time", valid_share=0.3, test_share=0.3)
    try:
        parts = draw_split(nothing, nothing, time, None, config)
    except NegGenError as error:  # so many equal times that a part is empty
        assert len(set(times)) < len(times)
        assume("leaves the" not in str(error))
        raise
    assert time[parts == 0].max() < time[parts == 1].min()
    assert time[parts == 1].max() < time[parts == 2].min()


def test_time_shares() -> None:
    nothing = np.zeros(1000, dtype=np.int32)
    time = np.arange(1000).astype("datetime64[us]")[::-1]
    parts = draw_split(nothing, nothing, time, None, SplitConfig(kind="time", test_share=0.2))
    assert np.bincount(parts).tolist() == [700, 100, 200]
    assert parts[0] == 2


@settings(max_examples=50)
@given(st.integers(3, 60), st.floats(0.05, 0.4), st.floats(0.05, 0.4), seeds)
def test_cold_items_are_disjoint(count: int, valid: float, test: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = np.concatenate([np.arange(count), rng.integers(0, count, 200)]).astype(np.int32)
    users = rng.integers(0, 9, len(items)).astype(np.int32)
    config = SplitConfig(kind="cold-items", seed=seed, valid_share=valid, test_share=test)
    parts = draw_split(users, items, None, None, config)
    train, held, tested = (set(items[parts == part]) for part in range(3))
    assert not train & held
    assert not train & tested
    assert not held & tested
    assert len(held) == max(1, round(count * valid))
    assert len(tested) == max(1, round(count * test))


@settings(max_examples=50)
@given(user_sizes, st.floats(0.05, 0.4), st.floats(0.05, 0.4), seeds)
def test_popularity_shifted_leaves_users_and_items_something(
    sizes: list[int], valid: float, test: float, seed: int
) -> None:
    users, items = log_of(sizes, seed)
    config = SplitConfig(kind="popularity-shifted", seed=seed, valid_share=valid, test_share=test)
    try:
        parts = draw_split(users, items, None, None, config)
    except NegGenError as error:  # hardly any item was used twice
        assume("leaves the" not in str(error))
        raise
    assert (parts == draw_split(users, items, None, None, config)).all()
    counts = np.bincount(parts, minlength=3)
    assert counts[1] <= round(valid * len(users))
    assert counts[2] <= round(test * len(users))
    for user, size in enumerate(sizes):
        own = np.bincount(parts[users == user], minlength=3)
        assert own[0] >= 1
        assert size - own[2] >= min(size, 2)
    assert set(items[parts == 0]) == set(items)


def skewed(seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A log of 2,000 users, who use item i with chance 1.5 / (i + 3)."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((2000, 200)) < 1.5 / (np.arange(200) + 3))
    return users.astype(np.int32), items.astype(np.int32)


def test_the_popularity_shifted_test_is_even_and_the_rest_is_skewed() -> None:
    users, items = skewed(0)
    config = SplitConfig(kind="popularity-shifted", valid_share=0.1, test_share=0.1)
    parts = draw_split(users, items, None, None, config)
    of_part = [np.bincount(items[parts == part], minlength=200) for part in range(3)]
    assert of_part[2].sum() == round(0.1 * len(users))
    assert of_part[1].sum() == round(0.1 * len(users))

    def unevenness(counts: NDArray[np.int64]) -> float:  # Gini: mean difference of all pairs
        return float(np.abs(counts[:, None] - counts).mean() / (2 * counts.mean()))

    train, valid, test = (unevenness(counts) for counts in of_part)
    assert test < 0.3 < 0.45 < train
    assert abs(valid - train) < 0.1
    # The random split, in contrast, tests on what is popular.
    parts = draw_split(users, items, None, None, SplitConfig(kind="random"))
    assert unevenness(np.bincount(items[parts == 2], minlength=200)) > 0.4


def test_given_parts_are_kept() -> None:
    log = pl.DataFrame(
        {"user_id": [1, 1, 1], "item_id": [1, 2, 3], "part": ["test", "train", "valid"]}
    )
    data = Dataset.from_frames(log).split("given")
    assert data.parts is not None
    assert data.parts.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("kind", "missing"),
    [("leave-last", "timestamp"), ("time", "timestamp"), ("given", "'part'")],
)
def test_missing_columns_are_named(kind: str, missing: str) -> None:
    data = Dataset.from_frames(pl.DataFrame({"user_id": [1, 1, 1], "item_id": [1, 2, 3]}))
    with pytest.raises(NegGenError, match=f"'{kind}' needs a column {missing}"):
        data.split(kind)


def test_an_empty_part_is_refused() -> None:
    data = Dataset.from_frames(pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2]}))
    with pytest.raises(NegGenError, match=r"'random-0' of 2 interactions leaves the validation"):
        data.split()
    with pytest.raises(NegGenError, match="leaves the training part"):
        data.split("cold-items")


def test_a_misspelt_kind_is_refused() -> None:
    data = Dataset.from_frames(pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2]}))
    with pytest.raises(NegGenError, match="leave-lst"):
        data.split("leave-lst")
