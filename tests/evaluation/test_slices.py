"""Slices against their definitions, one user and one target at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from neggen.evaluation.slices import cold_items, found_in, inactive_users, tail_items


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 9))
def test_targets_in_a_slice_by_definition(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    users, items = 7, 9
    lists = rng.permuted(np.tile(np.arange(items, dtype=np.int32), (users, 1)), axis=1)[:, :6]
    for row in lists:  # some end early
        row[rng.integers(1, 7) :] = -1
    target = rng.random((users, items)) < 0.3
    chosen = rng.random(items) < 0.5
    found = found_in(lists, csr_matrix(target.astype(np.float32)), chosen, k)
    for user in range(users):
        wanted = {i for i in range(items) if target[user, i] and chosen[i]}
        if not wanted:
            assert all(math.isnan(values[user]) for values in found.values())
            continue
        ranks = [rank for rank, i in enumerate(lists[user, :k].tolist(), 1) if i in wanted]
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(wanted)) + 1))
        gained = sum(1 / math.log2(rank + 1) for rank in ranks)
        assert found[f"recall@{k}"][user] == pytest.approx(len(ranks) / len(wanted))
        assert found[f"ndcg@{k}"][user] == pytest.approx(gained / ideal)


def test_the_tail_has_at_most_a_fifth_of_the_interactions() -> None:
    rng = np.random.default_rng(0)
    item_users = rng.zipf(1.6, 500).clip(0, 400) - 1
    tail = tail_items(item_users)
    assert not tail[item_users == 0].any()
    assert item_users[tail].sum() <= 0.2 * item_users.sum()
    assert item_users[tail].max() < item_users[~tail & (item_users > 0)].min()
    popularity = item_users[tail].max() + 1
    assert item_users[item_users <= popularity].sum() > 0.2 * item_users.sum(), "as many as fit"
    assert (cold_items(item_users) == (item_users == 0)).all()


def test_a_catalog_without_a_tail() -> None:
    assert not tail_items(np.array([5, 5, 5])).any(), "equal items are in or out together"
    assert not tail_items(np.array([0, 0])).any()


def test_users_who_did_as_little_belong_together() -> None:
    assert inactive_users(np.arange(9)).tolist() == [True] * 3 + [False] * 6
    assert inactive_users(np.array([4, 4, 4, 4])).all()
    assert inactive_users(np.array([], dtype=np.int64)).tolist() == []
