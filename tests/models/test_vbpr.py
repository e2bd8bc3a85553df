"""VBPR against its equation, and against what the MMRec toolbox computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from neggen.data.vectors import Features
from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.base import Recommender
from neggen.models.popularity import Popularity
from neggen.models.vbpr import VBPR, VBPRConfig, VBPRModule
from neggen.negatives.base import Batch
from neggen.testing import RecommenderContract, checkerboard

USERS, ITEMS = 5, 7


class TestVBPR(RecommenderContract):
    def model(self) -> Recommender:
        return VBPR(content="descriptions", dim=16, learning_rate=0.05, epochs=15)


def problem() -> tuple[VBPRModule, Batch]:
    """Return a module with fixed weights and a batch; item 2 lacks a picture, item 6 users."""
    rng = np.random.default_rng(0)
    train = (rng.random((USERS, ITEMS)) < 0.5).astype(np.float32)
    train[:, 0], train[:, 6] = 1, 0
    features = {}
    for name, width in (("image", 3), ("text", 6)):
        rows = rng.normal(size=(ITEMS, width)).astype(np.float32)
        rows[2] *= name != "image"
        features[name] = Features(rows, rows.any(axis=1))
    config = VBPRConfig(dim=4, regularization=0.3)
    module = VBPRModule(csr_matrix(train), features, config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape) / 2))
    batch = torch.tensor([[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 0, 4], [3, 5, 4, 1, 2, 1]])
    return module, Batch(batch[0], batch[1], batch[2][:, None])


def by_hand(module: VBPRModule, weights: dict[str, torch.Tensor], batch: Batch) -> torch.Tensor:
    nodes, tastes = weights["nodes"], weights["tastes"]
    rows = module.features.double() @ weights["projection.weight"].T + weights["projection.bias"]
    total, squares = torch.zeros((), dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for u, *pair in zip(*(part.flatten().tolist() for part in batch), strict=True):
        user = torch.cat([nodes[u], tastes[u]])
        liked, other = (torch.cat([nodes[USERS + i], rows[i]]) for i in pair)
        total = total - torch.log(torch.sigmoid(user @ liked - user @ other))
        squares = squares + torch.stack([v @ v for v in (user, liked, other)])
    return (total + 0.3 * squares.sqrt().sum()) / len(batch.users)


def test_loss_and_gradient_equal_those_by_hand() -> None:
    module, batch = problem()
    weights = {n: p.detach().double().requires_grad_() for n, p in module.named_parameters()}
    loss, expected = module.loss(batch, torch.Generator()), by_hand(module, weights, batch)
    assert abs(loss.item() - expected.item()) < 1e-6
    loss.backward()
    expected.backward()
    for name, parameter in module.named_parameters():
        assert torch.allclose(parameter.grad.double(), weights[name].grad, atol=1e-6), name


def test_equals_the_toolbox() -> None:
    # github.com/enoche/MMRec (e775373), src/models/vbpr.py: calculate_loss with these weights and
    # reg_weight = 0.3, before and after a step of SGD.
    module, batch = problem()
    loss = module.loss(batch, torch.Generator())
    loss.backward()
    torch.optim.SGD(module.parameters(), lr=0.5).step()
    assert loss.item() == pytest.approx(1.987173, abs=1e-5)
    assert module.loss(batch, torch.Generator()).item() == pytest.approx(1.094764, abs=1e-5)


def test_content_alone_ranks_what_nobody_has_used() -> None:
    data = checkerboard().split("cold-items")
    model = VBPR(content="descriptions", dim=16, learning_rate=0.05, epochs=15).fit(data)
    new = np.flatnonzero(np.bincount(data.train.indices, minlength=data.shape[1]) == 0)
    assert not model.item_embeddings[new, :16].any()
    figures = evaluate_ranking(model.score_index, data.train, data.valid)
    by_count = evaluate_ranking(Popularity().fit(data).score_index, data.train, data.valid)
    assert figures.metrics["ndcg@20"] > 2 * by_count.metrics["ndcg@20"]
