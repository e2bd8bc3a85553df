"""In-batch negatives: whose negatives they are, and the corrected softmax on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from neggen import MF, LightGCN, NegGen
from neggen.config import MFConfig
from neggen.data.dataset import Dataset
from neggen.models.mf import MFModule
from neggen.negatives.base import Batch
from neggen.negatives.in_batch import InBatch, InBatchConfig
from neggen.testing import SamplerContract, checkerboard, refuses


class TestInBatch(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> InBatch:
        return InBatch(InBatchConfig(), data, device)

    def test_takes_what_the_row_has_not_from_the_other_rows(self) -> None:
        data = self.data()
        train = data.train.toarray()
        batch, draw, _ = self.draw(data, times=3)  # with every pair three times
        assert batch.negatives.shape == (len(batch.users), 0)
        assert draw.items.equal(batch.positives)
        for row, user in enumerate(batch.users.tolist()):
            assert not draw.allowed[row, row], "its own positive"
            for column, item in enumerate(batch.positives.tolist()):
                assert draw.allowed[row, column].item() == (not train[user, item])

    def test_looks_through_what_the_users_of_the_batch_have(self) -> None:
        data = self.data()
        users = torch.tensor([3, 1, 3])
        rows, columns = self.sampler(data)._interactions_of(users)
        for user in (1, 3):
            assert sorted(columns[rows == user]) == sorted(data.train[user].indices)
        assert set(rows.tolist()) == {1, 3}

    def test_says_how_popular_each_is(self) -> None:
        data = self.data()
        batch, draw, _ = self.draw(data, times=1)
        count = data.train.toarray().sum(0)
        expected = [math.log(count[item]) for item in batch.positives.tolist()]
        assert draw.log_q.tolist() == pytest.approx(expected)
        assert draw.positive_log_q.tolist() == pytest.approx(expected)


def test_a_step_with_the_corrected_softmax_by_a_loop(tiny) -> None:
    """SSM and the regularization on MF, from Yi et al.'s section 3, in double precision."""
    config = MFConfig(dim=3, regularization=0.2, loss={"name": "ssm", "temperature": 0.4})
    module = MFModule(tiny.data.train, config)
    module.nodes.data = tiny.nodes
    module.sampler = InBatch(InBatchConfig(), tiny.data)
    users, positives = torch.tensor([0, 1, 3, 1]), torch.tensor([0, 2, 5, 3])
    generator = torch.Generator()
    batch = Batch(users, positives, module.sampler.propose(users, positives, generator))
    loss = module.loss(batch, generator)
    loss.backward()

    nodes = tiny.nodes.double().requires_grad_()
    train = tiny.data.train.toarray()
    total = torch.zeros((), dtype=torch.float64)
    for user, positive in zip(users.tolist(), positives.tolist(), strict=True):
        others = [item for item in positives.tolist() if not train[user, item]]
        logits = []
        for item in [positive, *others]:
            e_u, e_i = nodes[user], nodes[4 + item]
            cosine = (e_u @ e_i) / (e_u @ e_u).sqrt() / (e_i @ e_i).sqrt()
            logits.append(cosine / 0.4 - math.log(train[:, item].sum()))
        total = total + (sum(torch.exp(each) for each in logits).log() - logits[0]) / 4
        # Users and positives, which are the negatives, too, and count once.
        squares = nodes[user].square().sum() + nodes[4 + positive].square().sum()
        total = total + 0.2 / 2 * squares / 4
    total.backward()
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    np.testing.assert_allclose(module.nodes.grad, nodes.grad, atol=1e-6)


@pytest.mark.parametrize("loss", ["bpr", "hinge", "infonce", "ssm", "bsl"])
def test_a_batch_may_hold_one_row(tiny, loss: str) -> None:
    """Where nothing is a negative of anybody, nothing is learned, and nothing breaks."""
    module = MFModule(tiny.data.train, MFConfig(dim=3, regularization=0.0, loss=loss))
    module.sampler = InBatch(InBatchConfig(), tiny.data)
    row, generator = torch.tensor([2]), torch.Generator()
    value = module.loss(Batch(row, row + 1, row.new_empty(1, 0)), generator)
    value.backward()
    assert value.item() == 0
    assert not module.nodes.grad.any()


def test_learns() -> None:
    settings = {"dim": 16, "learning_rate": 0.05, "evaluate_every": 1, "patience": 40, "epochs": 40}
    for model in (MF, LightGCN):
        fitted = model(sampler="in-batch", loss="ssm", **settings).fit(checkerboard())
        found = [log.valid["recall@10"] for log in fitted.history[model.name]]
        assert max(found) > found[0] + 0.15


def test_models_that_do_not_rank_by_their_own_embeddings_refuse_it() -> None:
    with refuses("'in-batch'", "take uniform"):
        NegGen(sampler="in-batch")
