"""GRCN against dense matrices, and against what its authors' code computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix

from neggen.data.vectors import Features
from neggen.models.base import Recommender
from neggen.models.grcn import GRCN, GRCNConfig, GRCNModule
from neggen.negatives.base import Batch
from neggen.testing import RecommenderContract

USERS, ITEMS = 5, 7
CONFIG = GRCNConfig(dim=4, latent=3, regularization=0.3)


class TestGRCN(RecommenderContract):
    def model(self) -> Recommender:
        return GRCN(content="descriptions", dim=16, latent=8, learning_rate=0.05, epochs=10)


def problem(config: GRCNConfig = CONFIG) -> tuple[np.ndarray, GRCNModule, Batch]:
    """Return interactions, a module with fixed weights, and a batch.

    Item 2 lacks a picture, item 6 users.
    """
    rng = np.random.default_rng(0)
    train = (rng.random((USERS, ITEMS)) < 0.5).astype(np.float32)
    train[:, 0], train[:, 6] = 1, 0
    features = {}
    for name, width in (("image", 3), ("text", 6)):
        rows = rng.normal(size=(ITEMS, width)).astype(np.float32)
        rows[2] *= name != "image"
        features[name] = Features(rows, rows.any(axis=1))
    module = GRCNModule(csr_matrix(train), features, config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape) / 2))
    batch = torch.tensor([[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 0, 4], [3, 5, 4, 1, 2, 1]])
    return train, module, Batch(batch[0], batch[1], batch[2][:, None])


def softmax(logits: torch.Tensor, ties: torch.Tensor, axis: int) -> torch.Tensor:
    """Return a softmax over the ties of each row or column; none where there are none."""
    weights = ties * logits.exp()
    return weights / weights.sum(axis, keepdim=True).clamp(min=1e-30)


def final_by_hand(
    train: np.ndarray, module: GRCNModule, weights: dict[str, torch.Tensor], config: GRCNConfig
) -> torch.Tensor:
    ties = torch.from_numpy(train).double()  # [users, items]
    contents, to_users, to_items = [], [], []
    confidence = weights["confidence"]
    for m, modality in enumerate(module.modalities):
        own = {name.removeprefix(f"modalities.{m}."): weight for name, weight in weights.items()}
        rows = modality._features.double() @ own["projection.weight"].T + own["projection.bias"]
        items = F.normalize(F.leaky_relu(rows))
        users = F.normalize(own["preferences"])
        for _ in range(config.routing):
            users = F.normalize(users + softmax(users @ items.T, ties, 1) @ items)
        by_user, by_item = (softmax(users @ items.T, ties, axis) for axis in (1, 0))
        contents.append(torch.cat([users + by_user @ items, items + by_item.T @ users]))
        to_users.append(by_user * confidence[USERS:, m])
        to_items.append(by_item * confidence[:USERS, m, None])
    passing = []
    for shares in (to_users, to_items):
        largest = torch.stack(shares).max(0).values
        passing.append(largest.clamp(min=0) if config.prune else largest)
    users, items = F.normalize(weights["nodes"]).split([USERS, ITEMS])
    total = torch.cat([users, items])
    for _ in range(config.layers):
        users, items = passing[0] @ items, passing[1].T @ users
        total = total + torch.cat([users, items])
    return torch.cat([total, *contents], dim=1)


def loss_by_hand(
    final: torch.Tensor, weights: dict[str, torch.Tensor], batch: Batch
) -> torch.Tensor:
    nodes, losses, penalties = weights["nodes"], [], []
    for u, i, j in zip(*(part.flatten().tolist() for part in batch), strict=True):
        margin = final[u] @ final[USERS + i] - final[u] @ final[USERS + j]
        losses.append(-torch.log(torch.sigmoid(margin)))
        for item in (i, j):
            penalty = (nodes[u] ** 2 + nodes[USERS + item] ** 2).mean()
            for m in range(2):
                penalty = penalty + (weights[f"modalities.{m}.preferences"][u] ** 2).mean()
            penalties.append(penalty)
    return torch.stack(losses).mean() + 0.3 * torch.stack(penalties).mean()


@pytest.mark.parametrize(
    ("routing", "prune", "layers"), [(0, True, 2), (3, True, 1), (1, False, 2)]
)
def test_loss_and_gradient_equal_the_dense_ones(routing: int, prune: bool, layers: int) -> None:
    config = CONFIG.updated(routing=routing, prune=prune, layers=layers)
    train, module, batch = problem(config)
    weights = {n: p.detach().double().requires_grad_() for n, p in module.named_parameters()}
    final = final_by_hand(train, module, weights, config)
    assert torch.allclose(torch.cat(module.embeddings()).double(), final, atol=1e-5)
    loss, expected = module.loss(batch, torch.Generator()), loss_by_hand(final, weights, batch)
    assert abs(loss.item() - expected.item()) < 1e-5
    loss.backward()
    expected.backward()
    for name, parameter in module.named_parameters():
        assert torch.allclose(parameter.grad.double(), weights[name].grad, rtol=1e-4, atol=1e-5), (
            name
        )


@pytest.mark.parametrize(
    ("prune", "before", "after"), [(True, 1.164760, 1.023644), (False, 1.150207, 1.016936)]
)
def test_equals_the_authors_code(prune: bool, before: float, after: float) -> None:
    # github.com/weiyinwei/GRCN (24bd1fa), Model_routing.py with weight_mode confid, fusion_mode
    # concat and reg_weight = 0.3: loss with these weights, before and after a step of SGD.
    _, module, batch = problem(CONFIG.updated(routing=0, prune=prune))
    loss = module.loss(batch, torch.Generator())
    loss.backward()
    torch.optim.SGD(module.parameters(), lr=0.05).step()
    assert loss.item() == pytest.approx(before, abs=1e-5)
    assert module.loss(batch, torch.Generator()).item() == pytest.approx(after, abs=1e-5)


def test_threads_do_not_change_the_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    train = csr_matrix((rng.random((300, 500)) < 0.05).astype(np.float32))
    rows = rng.normal(size=(500, 20)).astype(np.float32)
    module = GRCNModule(train, {"text": Features(rows, np.ones(500, dtype=bool))}, GRCNConfig())
    users, *items = (torch.randint(high, (2048,), generator=generator) for high in (300, 500, 500))
    before, gradients = torch.get_num_threads(), []
    torch.set_num_threads(4)
    try:
        for _ in range(5):
            module.zero_grad()
            module.loss(Batch(users, items[0], items[1][:, None]), generator).backward()
            gradients.append(torch.cat([p.grad.flatten() for p in module.parameters()]))
    finally:
        torch.set_num_threads(before)
    assert gradients[0].isfinite().all()
    assert all(gradient.equal(gradients[0]) for gradient in gradients)
