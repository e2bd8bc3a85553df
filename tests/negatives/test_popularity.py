"""Sampling by popularity: exact chances, and never a seen item."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from neggen.config import MFConfig
from neggen.data.dataset import Dataset
from neggen.models.mf import MFModule
from neggen.negatives.base import Batch
from neggen.negatives.popularity import PopularitySampler, PopularitySamplerConfig
from neggen.testing import SamplerContract, all_in_training


def made(data: Dataset, negatives: int, power: float = 0.75) -> PopularitySampler:
    return PopularitySampler(PopularitySamplerConfig(negatives=negatives, power=power), data)


class TestPopularity(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> PopularitySampler:
        return PopularitySampler(PopularitySamplerConfig(negatives=3), data, device)

    def test_says_how_likely_each_is(self) -> None:
        data = self.data()
        batch, draw, _ = self.draw(data, times=1)
        count = data.train.toarray().sum(0)
        assert draw.items.shape == (len(batch.users), 3)
        for row, (item, *others) in enumerate(
            zip(batch.positives.tolist(), *draw.items.T.tolist(), strict=True)
        ):
            assert draw.positive_log_q[row] == pytest.approx(0.75 * math.log(count[item]))
            expected = [0.75 * math.log(count[other]) for other in others]
            assert draw.log_q[row].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("power", [0.0, 0.75, 1.0, 2.0])
def test_unseen_items_are_drawn_by_popularity(power: float) -> None:
    rng = np.random.default_rng(1)
    dense = rng.random((12, 20)) < np.linspace(0.1, 0.8, 20)
    dense[np.arange(12), 19 - np.arange(12)] = False
    data = all_in_training(dense)
    users = torch.arange(12)
    drawn = made(data, 20_000, power).propose(users, users, torch.Generator().manual_seed(0))
    for user in range(12):
        weights = {
            item: float(dense[:, item].sum()) ** power
            for item in range(20)
            if dense[:, item].any() and not dense[user, item]
        }
        counts = np.bincount(drawn[user], minlength=20)
        assert counts.sum() == sum(counts[item] for item in weights)
        expected = [20_000 * weight / sum(weights.values()) for weight in weights.values()]
        assert chisquare([counts[item] for item in weights], expected).pvalue > 1e-4


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), power=st.sampled_from([0.0, 0.5, 3.0, 200.0]))
def test_never_draws_a_seen_item(seed: int, power: float) -> None:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(2, 9, size=2)
    dense = rng.random((users, items)) < rng.uniform(0.1, 0.95)
    dense[:, 0] = True  # everybody has something, and something is left for everybody
    dense[rng.integers(users)] = True
    left = rng.integers(1, items, size=users)
    dense[np.arange(users), left] = False
    dense = np.vstack([dense, np.eye(items, dtype=bool)])  # somebody has each
    sampler = made(all_in_training(dense), 40, power)
    rows = torch.arange(len(dense))
    drawn = sampler.propose(rows, rows, torch.Generator().manual_seed(seed % 2**31))
    assert drawn.min() >= 0
    assert drawn.max() < items
    assert not np.take_along_axis(dense, drawn.numpy(), axis=1).any()


def test_a_step_with_the_corrected_softmax_by_a_loop(tiny) -> None:
    """SSM on MF from Yi et al.'s section 3, in double precision."""
    config = MFConfig(dim=3, regularization=0.0, loss={"name": "ssm", "temperature": 0.4})
    module = MFModule(tiny.data.train, config)
    module.nodes.data = tiny.nodes
    module.sampler = made(tiny.data, negatives=5)
    users, positives, _ = tiny.batch
    generator = torch.Generator().manual_seed(0)
    batch = Batch(users, positives, module.sampler.propose(users, positives, generator))
    loss = module.loss(batch, generator)
    loss.backward()

    nodes = tiny.nodes.double().requires_grad_()
    count = tiny.data.train.toarray().sum(0)
    total = torch.zeros((), dtype=torch.float64)
    for row, user in enumerate(users.tolist()):
        logits = []
        for item in [positives[row].item(), *batch.negatives[row].tolist()]:
            e_u, e_i = nodes[user], nodes[4 + item]
            cosine = (e_u @ e_i) / (e_u @ e_u).sqrt() / (e_i @ e_i).sqrt()
            logits.append(cosine / 0.4 - 0.75 * math.log(count[item]))
        total = total + (sum(torch.exp(each) for each in logits).log() - logits[0]) / 4
    total.backward()
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    np.testing.assert_allclose(module.nodes.grad, nodes.grad, atol=1e-6)
