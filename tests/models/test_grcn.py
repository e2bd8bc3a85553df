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


def module_of(problem, config: GRCNConfig = CONFIG) -> GRCNModule:
    return problem.filled(GRCNModule(problem.interactions, problem.features, config))


def softmax(logits: torch.Tensor, ties: torch.Tensor, axis: int) -> torch.Tensor:
    """Return a softmax over the ties of each row or column; none where there are none."""
    weights = ties * logits.exp()
    return weights / weights.sum(axis, keepdim=True).clamp(min=1e-30)


def final_by_hand(problem, weights: dict[str, torch.Tensor], config: GRCNConfig) -> torch.Tensor:
    ties = torch.from_numpy(problem.train).double()  # [users, items]
    contents, to_users, to_items = [], [], []
    confidence = weights["confidence"]
    for m, modality in enumerate(problem.features):
        own = {name.removeprefix(f"modalities.{m}."): weight for name, weight in weights.items()}
        rows = problem.values(modality) @ own["projection.weight"].T + own["projection.bias"]
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


def loss_by_hand(problem, final: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    nodes, penalties = weights["nodes"], []
    for u, i, j in problem.triples:
        for item in (i, j):
            penalty = (nodes[u] ** 2 + nodes[USERS + item] ** 2).mean()
            for m in range(2):
                penalty = penalty + (weights[f"modalities.{m}.preferences"][u] ** 2).mean()
            penalties.append(penalty)
    return problem.bpr(*final.split([USERS, ITEMS])) + 0.3 * torch.stack(penalties).mean()


@pytest.mark.parametrize(
    ("routing", "prune", "layers"), [(0, True, 2), (3, True, 1), (1, False, 2)]
)
def test_loss_and_gradient_equal_the_dense_ones(
    routing: int, prune: bool, layers: int, two_gaps
) -> None:
    config = CONFIG.updated(routing=routing, prune=prune, layers=layers)
    module = module_of(two_gaps, config)

    def by_hand(w: dict[str, torch.Tensor]) -> torch.Tensor:
        final = final_by_hand(two_gaps, w, config)
        assert torch.allclose(torch.cat(module.embeddings()).double(), final, atol=1e-5)
        return loss_by_hand(two_gaps, final, w)

    loss = module.loss(two_gaps.batch, torch.Generator())
    two_gaps.agree(module, loss, by_hand, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("prune", "before", "after"), [(True, 1.164760, 1.023644), (False, 1.150207, 1.016936)]
)
def test_equals_the_authors_code(prune: bool, before: float, after: float, two_gaps) -> None:
    # github.com/weiyinwei/GRCN (24bd1fa), Model_routing.py with weight_mode confid, fusion_mode
    # concat and reg_weight = 0.3: loss with these weights, before and after a step of SGD.
    module = module_of(two_gaps, CONFIG.updated(routing=0, prune=prune))
    losses = two_gaps.two_losses(
        module, lambda: module.loss(two_gaps.batch, torch.Generator()), rate=0.05
    )
    assert losses == pytest.approx([before, after], abs=1e-5)


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
