"""MGCN against dense matrices, and against what its authors' code computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.data.vectors import Features
from neggen.models.base import Recommender
from neggen.models.item_graphs import nearest_graph
from neggen.models.mgcn import MGCN, MGCNConfig, MGCNModule
from neggen.negatives.base import Batch
from neggen.testing import RecommenderContract

USERS, ITEMS = 5, 7
CONFIG = MGCNConfig(dim=4, neighbors=3, regularization=0.02, contrastive_weight=0.3)


class TestMGCN(RecommenderContract):
    def model(self) -> Recommender:
        return MGCN(content="descriptions", dim=16, learning_rate=0.05, epochs=8)


def problem(present: int = ITEMS) -> tuple[np.ndarray, dict[str, Features], Batch]:
    """Return interactions, features that the items from ``present`` on lack, and a batch."""
    rng = np.random.default_rng(0)
    train = (rng.random((USERS, ITEMS)) < 0.5).astype(np.float32)
    train[0], train[:, 0] = 1, 1  # nobody is without neighbors: rsqrt stays finite
    mask, features = np.arange(ITEMS) < present, {}
    for name, width in (("image", 6), ("text", 3)):
        rows = rng.random((ITEMS, width)) * mask[:, None]  # no negative cosines
        features[name] = Features(rows.astype(np.float32), mask)
    drawn = [torch.from_numpy(rng.integers(0, high, 6)) for high in (USERS, ITEMS, ITEMS)]
    return train, features, Batch(drawn[0], drawn[1], drawn[2][:, None])


def make(train: np.ndarray, features: dict[str, Features], config: MGCNConfig) -> MGCNModule:
    graphs = {
        name: nearest_graph(given, config.neighbors, "cpu") for name, given in features.items()
    }
    module = MGCNModule(csr_matrix(train), graphs, features, config)
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if not name.startswith("features"):
                parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape) / 2))
    return module


def cosine_graph(rows: np.ndarray) -> Tensor:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = torch.from_numpy((unit @ unit.T).astype(float))
    ties = torch.zeros_like(cosines)
    for item in range(len(rows)):
        best = cosines[item].argsort(descending=True)[:3]
        ties[item, best] = cosines[item, best]
    scale = ties.sum(1).rsqrt()
    return scale[:, None] * ties * scale


def dense(train: np.ndarray, w: dict[str, Tensor], graphs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return ē and s of Yu et al. 2023 with plain matrices, each ``[users + items, d]``."""
    interactions = torch.from_numpy(train).double()
    scale = torch.outer(interactions.sum(1).rsqrt(), interactions.sum(0).rsqrt())
    history = interactions * scale
    nodes = w["nodes"]
    step = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)
    step[:USERS, USERS:], step[USERS:, :USERS] = history, history.T
    behavior = (nodes + step @ nodes + step @ step @ nodes) / 3

    def linear(name: str, rows: Tensor) -> Tensor:
        return rows @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    views, scores = [], []
    for m, graph in enumerate(graphs):
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


def dense_loss(behavior: Tensor, side: Tensor, batch: Batch) -> Tensor:
    users, items = (behavior + side).split([USERS, ITEMS])
    total = torch.zeros((), dtype=torch.float64)
    for u, i, j in zip(*(part.flatten().tolist() for part in batch), strict=True):
        penalty = sum((row**2).sum() for row in (users[u], items[i], items[j])) / 2
        total = total - F.logsigmoid(users[u] @ (items[i] - items[j])) + 0.02 * penalty
    for rows in (batch.users, batch.positives + USERS):
        for row in rows:
            cosines = F.cosine_similarity(side[row], behavior[rows]) / 0.2
            own = F.cosine_similarity(side[row], behavior[row], dim=0) / 0.2
            total = total - 0.3 * (own - torch.logsumexp(cosines, dim=0))
    return total / len(batch.users)


def test_loss_and_gradient_steps_equal_the_dense_ones() -> None:
    train, features, batch = problem()
    module = make(train, features, CONFIG)
    graphs = [cosine_graph(given.values) for given in features.values()]
    weights = {n: p.detach().double().requires_grad_() for n, p in module.named_parameters()}
    for _ in range(2):
        loss = module.loss(batch, torch.Generator())
        expected = dense_loss(*dense(train, weights, graphs), batch)
        assert abs(loss.item() - expected.item()) < 2e-6
        module.zero_grad()
        loss.backward()
        gradients = torch.autograd.grad(expected, list(weights.values()))
        for ours, theirs in zip(module.parameters(), gradients, strict=True):
            assert torch.allclose(ours.grad.double(), theirs, atol=2e-6)
        torch.optim.SGD(module.parameters(), lr=0.5).step()
        weights = {
            name: (w - 0.5 * g).detach().requires_grad_()
            for (name, w), g in zip(weights.items(), gradients, strict=True)
        }
    final = sum(dense(train, weights, graphs))
    assert torch.allclose(torch.cat(module.embeddings()).double(), final, atol=2e-6)


def test_equals_the_authors_code() -> None:
    """Numbers of ``MGCN`` of github.com/enoche/MMRec (src/models/mgcn.py) on this problem.

    It was run with the weights below, two layers, knn_k 3, reg_weight 0.02, cl_loss 0.3.
    """
    train, features, batch = problem()
    module = make(train, features, CONFIG)
    losses = []
    for _ in range(3):
        losses.append(module.loss(batch, torch.Generator()))
        module.zero_grad()
        losses[-1].backward()
        torch.optim.SGD(module.parameters(), lr=0.5).step()
    scores = module.scorer()(torch.arange(USERS))[2, :3]
    assert torch.stack(losses).tolist() == pytest.approx(
        [2.8766022, 2.7782099, 1.6380578], abs=2e-6
    )
    assert scores.tolist() == pytest.approx([0.4811527, 0.6669865, -0.1040576], abs=2e-6)


def test_what_items_lack_makes_no_nan() -> None:
    train, features, batch = problem(present=4)
    train[:, 6] = 0
    train[1:, :4] = 0  # users of items without any modality
    module = make(train, features, CONFIG.updated(neighbors=10, hops=2))
    module.loss(batch, torch.Generator()).backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert all(part.isfinite().all() for part in module.embeddings())


def test_any_number_of_modalities() -> None:
    train, features, batch = problem()
    for names in (["image"], ["image", "text", "audio"]):
        some = {name: features.get(name, features["text"]) for name in names}
        module = make(train, some, CONFIG)
        module.loss(batch, torch.Generator()).backward()
        assert all(p.grad.isfinite().all() for p in module.parameters())


def test_frozen_features_stay() -> None:
    train, features, batch = problem()
    module = make(train, features, CONFIG.updated(train_features=False))
    module.loss(batch, torch.Generator()).backward()
    torch.optim.SGD(module.parameters(), lr=0.5).step()
    assert not any(name.startswith("features") for name in module.state_dict())
    for given, kept in zip(features.values(), module.features, strict=True):
        assert np.array_equal(given.values, kept.numpy())
