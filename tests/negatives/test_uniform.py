"""The uniform sampler: exact, uniform, seeded."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.stats import chisquare

from neggen.negatives.uniform import UniformSampler
from neggen.testing import SamplerContract


class TestUniformSampler(SamplerContract):
    def sampler(self, train: csr_matrix) -> UniformSampler:
        return UniformSampler(train)


@st.composite
def interactions(draw) -> np.ndarray:
    """Draw a 0/1 matrix in which every user has something left."""
    users, items = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    rows = [draw(st.sets(st.integers(0, items - 1), max_size=items - 1)) for _ in range(users)]
    dense = np.zeros((users, items), dtype=np.float32)
    for user, used in enumerate(rows):
        dense[user, list(used)] = 1
    return dense


@settings(max_examples=150, deadline=None)
@given(dense=interactions(), seed=st.integers(0, 2**32 - 1))
def test_never_draws_a_seen_item(dense: np.ndarray, seed: int) -> None:
    users = torch.arange(len(dense)).repeat(30)
    items = UniformSampler(csr_matrix(dense)).sample(users, torch.Generator().manual_seed(seed))
    assert items.min() >= 0
    assert items.max() < dense.shape[1]
    assert dense[users.numpy(), items.numpy()].sum() == 0


def test_every_unseen_item_is_equally_likely() -> None:
    rng = np.random.default_rng(5)
    dense = (rng.random((6, 40)) < 0.4).astype(np.float32)
    users = torch.arange(6).repeat_interleave(20_000)
    items = UniformSampler(csr_matrix(dense)).sample(users, torch.Generator().manual_seed(0))
    for user in range(6):
        counts = np.bincount(items[users == user].numpy(), minlength=40)[dense[user] == 0]
        assert chisquare(counts).pvalue > 1e-4


def test_column_order_does_not_matter() -> None:
    shuffled = csr_matrix((np.ones(3, np.float32), [4, 0, 2], [0, 3]), shape=(1, 6))
    users, generator = torch.zeros(500, dtype=torch.int64), torch.Generator().manual_seed(0)
    assert set(UniformSampler(shuffled).sample(users, generator).tolist()) == {1, 3, 5}
    assert shuffled.indices.tolist() == [4, 0, 2]
