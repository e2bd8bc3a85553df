"""MGCN against dense matrices, and against what its authors' code computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neggen.models.base import Recommender
from neggen.models.mgcn import MGCN, MGCNConfig, MGCNModule
from neggen.testing import RecommenderContract

USERS, ITEMS = 5, 7
CONFIG = MGCNConfig(dim=4, neighbors=3, regularization=0.02, contrastive_weight=0.3)


class TestMGCN(RecommenderContract):
    def model(self) -> Recommender:
        return MGCN(content="descriptions", dim=16, learning_rate=0.05, epochs=8)


def parts_by_hand(problem, w: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return ē and s of Yu et al. 2023 with plain matrices, each ``[users + items, d]``."""
    nodes, history = w["nodes"], problem.adjacency[:USERS, USERS:]
    behavior = problem.lightgcn(nodes, 2)

    def linear(name: str, rows: Tensor) -> Tensor:
        return rows @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    views, scores = [], []
    for m, name in enumerate(problem.features):
        graph = problem.normalized(problem.nearest(problem.values(name)))
        gate = torch.sigmoid(
            linear(f"purifiers.{m}", linear(f"projections.{m}", w[f"features.{m}"]))
        )
        items = graph @ (nodes[USERS:] * gate)
        views.append(torch.cat([history @ items, items]))
        scores.append(torch.tanh(linear("attention.0", views[-1])) @ w["attention.2.weight"].T)
    shares = torch.cat(scores, dim=1).softmax(1)
    common = shares[:, :1] * views[0] + shares[:, 1:] * views[1]
    image, text = (
        torch.sigmoid(linear(f"tastes.{m}", behavior)) * (view - common)
        for m, view in enumerate(views)
    )
    return behavior, (image + text + common) / 3


def loss_by_hand(problem, behavior: Tensor, side: Tensor) -> Tensor:
    loss = problem.bpr(*(behavior + side).split([USERS, ITEMS]), 0.02)
    for rows in (problem.batch.users, problem.batch.positives + USERS):
        for row in rows:
            cosines = F.cosine_similarity(side[row], behavior[rows]) / 0.2
            own = F.cosine_similarity(side[row], behavior[row], dim=0) / 0.2
            loss = loss - 0.3 * (own - torch.logsumexp(cosines, dim=0)) / len(rows)
    return loss


def test_loss_and_gradient_steps_equal_the_dense_ones(linked) -> None:
    module = linked.with_graphs(MGCNModule, CONFIG)
    for _ in range(2):
        module.zero_grad()
        loss = module.loss(linked.batch, torch.Generator())
        linked.agree(module, loss, lambda w: loss_by_hand(linked, *parts_by_hand(linked, w)))
        torch.optim.SGD(module.parameters(), lr=0.5).step()
    weights = {name: weight.detach().double() for name, weight in module.named_parameters()}
    final = sum(parts_by_hand(linked, weights))
    assert torch.allclose(torch.cat(module.embeddings()).double(), final, atol=2e-6)


def test_equals_the_authors_code(linked) -> None:
    """Numbers of ``MGCN`` of github.com/enoche/MMRec (src/models/mgcn.py) on this problem.

    It was run with these weights, two layers, knn_k 3, reg_weight 0.02, cl_loss 0.3.
    """
    module = linked.with_graphs(MGCNModule, CONFIG)
    losses = linked.losses(
        module, lambda: module.loss(linked.batch, torch.Generator()), steps=3, rate=0.5
    )
    assert losses == pytest.approx([2.8766022, 2.7782099, 1.6380578], abs=2e-6)
    scores = module.scorer()(torch.arange(USERS))[2, :3]
    assert scores.tolist() == pytest.approx([0.4811527, 0.6669865, -0.1040576], abs=2e-6)


def test_what_items_lack_makes_no_nan(linked) -> None:
    problem = linked.lacking(present=4)
    problem.train[:, 6] = 0
    problem.train[1:, :4] = 0  # users of items without any modality
    module = problem.with_graphs(MGCNModule, CONFIG.updated(neighbors=10, hops=2))
    module.loss(problem.batch, torch.Generator()).backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert all(part.isfinite().all() for part in module.embeddings())


@pytest.mark.parametrize("names", [["image"], ["image", "text", "audio"]])
def test_any_number_of_modalities(names: list[str], linked) -> None:
    features = {name: linked.features.get(name, linked.features["text"]) for name in names}
    module = replace(linked, features=features).with_graphs(MGCNModule, CONFIG)
    module.loss(linked.batch, torch.Generator()).backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_frozen_features_stay(linked) -> None:
    module = linked.with_graphs(MGCNModule, CONFIG.updated(train_features=False))
    module.loss(linked.batch, torch.Generator()).backward()
    torch.optim.SGD(module.parameters(), lr=0.5).step()
    assert not any(name.startswith("features") for name in module.state_dict())
    for given, kept in zip(linked.features.values(), module.features, strict=True):
        assert np.array_equal(given.values, kept.numpy())
