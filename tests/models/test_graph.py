"""The sparse propagation against the dense one, forward and backward."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from scipy.sparse import csr_matrix

from neggen.models.graph import csr_tensor, normalized_adjacency, propagate, propagate_by_hop


def dense_adjacency(train: np.ndarray) -> torch.Tensor:
    """Return D^(−1/2) A D^(−1/2), built entry by entry from its definition."""
    users, items = train.shape
    adjacency = np.zeros((users + items, users + items))
    for user in range(users):
        for item in range(items):
            if train[user, item]:
                value = 1 / np.sqrt(train[user].sum() * train[:, item].sum())
                adjacency[user, users + item] = adjacency[users + item, user] = value
    return torch.from_numpy(adjacency)


def some_interactions() -> np.ndarray:
    """Return interactions in which user 2 and item 4 have none."""
    train = (np.random.default_rng(0).random((6, 9)) < 0.4).astype(np.float32)
    train[2], train[:, 4] = 0, 0
    return train


def test_adjacency_is_the_dense_one() -> None:
    train = some_interactions()
    sparse = normalized_adjacency(csr_matrix(train))
    assert sparse.crow_indices().dtype == torch.int32
    assert torch.allclose(sparse.to_dense().double(), dense_adjacency(train), atol=1e-7)


def test_propagation_equals_the_dense_computation() -> None:
    train, nodes = some_interactions(), torch.randn(15, 4, generator=torch.Generator())
    dense = dense_adjacency(train).float()
    for layers in (1, 2, 4):
        expected = sum(torch.matrix_power(dense, k) @ nodes for k in range(layers + 1))
        found = propagate(normalized_adjacency(csr_matrix(train)), nodes, layers)
        assert torch.allclose(found, expected / (layers + 1), atol=1e-6)


def test_gradient_equals_autograd_through_the_dense_computation() -> None:
    train = some_interactions()
    dense, sparse = dense_adjacency(train).float(), normalized_adjacency(csr_matrix(train))
    nodes, target = torch.randn(2, 15, 4, generator=torch.Generator().manual_seed(1))
    ours, theirs = nodes.clone().requires_grad_(), nodes.clone().requires_grad_()
    (propagate(sparse, ours, 3) * target).square().sum().backward()
    mean = sum(torch.matrix_power(dense, k) @ theirs for k in range(4)) / 4
    (mean * target).square().sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)


def test_gradient_passes_the_numerical_check() -> None:
    sparse = csr_tensor(csr_matrix(dense_adjacency(some_interactions()).numpy()))
    nodes = torch.randn(15, 2, dtype=torch.float64, generator=torch.Generator())
    assert torch.autograd.gradcheck(lambda x: propagate(sparse, x, 2), nodes.requires_grad_())


def test_propagation_leaves_its_input_alone() -> None:
    nodes = torch.ones(15, 2)
    propagate(normalized_adjacency(csr_matrix(some_interactions())), nodes, 2)
    assert nodes.equal(torch.ones(15, 2))


def test_tells_users_nothing_about_torchs_beta_state() -> None:
    torch.set_warn_always(True)  # and not once a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            normalized_adjacency(csr_matrix(some_interactions()))
    finally:
        torch.set_warn_always(False)


def test_hop_by_hop_equals_the_dense_computation_and_passes_the_numerical_check() -> None:
    dense = dense_adjacency(some_interactions())
    sparse = csr_tensor(csr_matrix(dense.numpy()))
    nodes = torch.randn(15, 2, dtype=torch.float64, generator=torch.Generator())
    hops, mean = propagate_by_hop(sparse, nodes.requires_grad_(), 2)
    expected = torch.stack([torch.matrix_power(dense, k) @ nodes for k in range(3)], dim=1)
    assert torch.allclose(torch.stack(hops, dim=1), expected)
    assert torch.allclose(mean, expected.mean(1))

    def both(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hops, mean = propagate_by_hop(sparse, x, 2)
        return *hops, mean

    assert torch.autograd.gradcheck(both, nodes)
