"""LightGCN against an independent dense implementation."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix

from neggen.config import LightGCNConfig
from neggen.models.lightgcn import LightGCN, LightGCNModule
from neggen.negatives.base import Batch
from neggen.testing import checkerboard, triples

CONFIG = LightGCNConfig(dim=5, layers=3, regularization=0.1, seed=4)


def dense_loss(train: np.ndarray, nodes: torch.Tensor, batch: Batch) -> torch.Tensor:
    """He et al. 2020, equations 3, 4, 5, 15 with plain matrices and loops."""
    interactions = torch.from_numpy(train).double()
    scale = torch.outer(interactions.sum(1).rsqrt(), interactions.sum(0).rsqrt())
    step = torch.where(interactions > 0, scale, 0.0)  # [users, items]
    users, items = nodes.split(list(train.shape))
    all_users, all_items = [users], [items]
    for _ in range(3):
        users, items = step @ items, step.T @ users
        all_users.append(users)
        all_items.append(items)
    final_users, final_items = torch.stack(all_users).mean(0), torch.stack(all_items).mean(0)
    total = torch.zeros((), dtype=torch.float64)
    for u, i, j in zip(*(part.flatten().tolist() for part in batch), strict=True):
        margin = final_users[u] @ final_items[i] - final_users[u] @ final_items[j]
        first = (nodes[u], nodes[len(train) + i], nodes[len(train) + j])
        penalty = sum((vector**2).sum() for vector in first) / 2
        total = total - torch.log(torch.sigmoid(margin)) + 0.1 * penalty
    return total / len(batch.users)


def test_loss_and_a_gradient_step_equal_the_dense_ones() -> None:
    rng = np.random.default_rng(0)
    train = (rng.random((7, 9)) < 0.5).astype(np.float32)
    train[0], train[:, 0] = 1, 1  # nobody is without neighbors: rsqrt stays finite
    module = LightGCNModule(csr_matrix(train), CONFIG)
    batch = triples(*(torch.from_numpy(rng.integers(0, high, 11)) for high in (7, 9, 9)))
    nodes = module.nodes.detach().double().requires_grad_()

    loss = module.loss(batch, torch.Generator())
    expected = dense_loss(train, nodes, batch)
    assert abs(loss.item() - expected.item()) < 1e-6
    loss.backward()
    expected.backward()
    assert torch.allclose(module.nodes.grad.double(), nodes.grad, atol=1e-7)

    torch.optim.SGD(module.parameters(), lr=0.5).step()
    with torch.no_grad():
        moved = dense_loss(train, nodes - 0.5 * nodes.grad, batch)
    assert abs(module.loss(batch, torch.Generator()).item() - moved.item()) < 1e-6


def test_initial_weights_depend_on_the_seed_only() -> None:
    train = csr_matrix(np.eye(5, 6, dtype=np.float32))
    torch.manual_seed(1)
    first, state = LightGCNModule(train, CONFIG).nodes, torch.get_rng_state()
    torch.manual_seed(2)
    second = LightGCNModule(train, CONFIG).nodes
    other = LightGCNModule(train, CONFIG.updated(seed=5)).nodes
    assert first.equal(second)
    assert not first.equal(other)
    torch.manual_seed(1)
    assert torch.get_rng_state().equal(state)


def test_threads_do_not_change_the_gradient() -> None:
    # A batch that repeats its nodes: adding their gradients up in any order would show here.
    generator = torch.Generator().manual_seed(0)
    train = csr_matrix((np.random.default_rng(0).random((300, 500)) < 0.05).astype(np.float32))
    module = LightGCNModule(train, LightGCNConfig())
    batch = triples(
        *(torch.randint(high, (2048,), generator=generator) for high in (300, 500, 500))
    )
    before, gradients = torch.get_num_threads(), []
    torch.set_num_threads(4)
    try:
        for _ in range(15):
            module.zero_grad()
            module.loss(batch, generator).backward()
            gradients.append(module.nodes.grad)
    finally:
        torch.set_num_threads(before)
    assert all(gradient.equal(gradients[0]) for gradient in gradients)


def test_keeps_its_history() -> None:
    model = LightGCN(dim=8, epochs=3).fit(checkerboard())
    assert [log.epoch for log in model.history["lightgcn"]] == [0, 1, 2, 3]
