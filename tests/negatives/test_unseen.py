"""Drawing unseen items: exact, uniform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.stats import chisquare

from neggen.errors import NegGenError
from neggen.negatives.unseen import UnseenItems


@st.composite
def interactions(draw) -> np.ndarray:
    """Draw a 0/1 matrix in which every user has something left."""
    users, items = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    rows = [draw(st.sets(st.integers(0, items - 1), max_size=items - 1)) for _ in range(users)]
    dense = np.zeros((users, items), dtype=np.float32)
    for user, used in enumerate(rows):
        dense[user, list(used)] = 1
    return dense


def drawn(dense: np.ndarray, count: int, seed: int = 0) -> torch.Tensor:
    """Draw ``count`` items for every user, ``[users, count]``."""
    generator = torch.Generator().manual_seed(seed)
    return UnseenItems(csr_matrix(dense)).sample(torch.arange(len(dense)), count, generator)


@settings(max_examples=150, deadline=None)
@given(dense=interactions(), seed=st.integers(0, 2**32 - 1))
def test_never_draws_a_seen_item(dense: np.ndarray, seed: int) -> None:
    items = drawn(dense, 30, seed)
    assert items.min() >= 0
    assert items.max() < dense.shape[1]
    assert np.take_along_axis(dense, items.numpy(), axis=1).sum() == 0


def test_every_unseen_item_is_equally_likely() -> None:
    dense = (np.random.default_rng(5).random((6, 40)) < 0.4).astype(np.float32)
    for user, items in enumerate(drawn(dense, 20_000)):
        counts = np.bincount(items.numpy(), minlength=40)[dense[user] == 0]
        assert chisquare(counts).pvalue > 1e-4


def test_column_order_does_not_matter() -> None:
    shuffled = csr_matrix((np.ones(3, np.float32), [4, 0, 2], [0, 3]), shape=(1, 6))
    users, generator = torch.zeros(1, dtype=torch.int64), torch.Generator().manual_seed(0)
    assert set(UnseenItems(shuffled).sample(users, 500, generator)[0].tolist()) == {1, 3, 5}
    assert shuffled.indices.tolist() == [4, 0, 2]


def test_refuses_a_user_who_has_everything() -> None:
    dense = np.zeros((3, 4), dtype=np.float32)
    dense[1] = 1
    with pytest.raises(NegGenError, match="User number 1 has interacted with all 4 items"):
        UnseenItems(csr_matrix(dense))
