"""The frozen graph of items and what is built on it, against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from neggen.models import graph
from neggen.models.content_lightgcn import ContentLightGCNConfig, ContentLightGCNModule
from neggen.models.frozen_graph import FrozenGraphConfig, FrozenGraphModule
from neggen.models.graph import item_graph, nearest_items, smooth
from neggen.negatives.base import Batch
from neggen.testing import triples

ITEMS = 9


def some_content() -> np.ndarray:
    """Return unit rows ``[items, 4]``; item 2 has no content."""
    rows = np.random.default_rng(1).normal(size=(ITEMS, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[2] = 0
    return rows.astype(np.float32)


def nearest_by_hand(content: np.ndarray, k: int) -> set[tuple[int, int]]:
    pairs = set()
    for item in range(len(content)):
        others = [j for j in range(len(content)) if j != item and content[j].any()]
        best = sorted(others, key=lambda j: -content[item] @ content[j])[:k]
        pairs |= {(item, other) for other in best if content[item].any()}
    return pairs


def graph_by_hand(content: np.ndarray, k: int) -> torch.Tensor:
    ties = np.zeros((ITEMS, ITEMS))
    for one, other in nearest_by_hand(content, k):
        ties[one, other] = ties[other, one] = 1
    degrees = np.maximum(ties.sum(1), 1)
    return torch.from_numpy(ties / np.sqrt(np.outer(degrees, degrees)))


@pytest.mark.parametrize("k", [1, 3, 100])
def test_nearest_items_and_their_graph(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "ITEMS_AT_ONCE", 3)  # the last chunk is smaller
    content = some_content()
    pairs = nearest_items(torch.from_numpy(content), k).T.tolist()
    assert len(pairs) == len({tuple(pair) for pair in pairs})
    assert {tuple(pair) for pair in pairs} == nearest_by_hand(content, k)
    found = item_graph(content, k, "cpu").to_dense()
    assert torch.allclose(found.double(), graph_by_hand(content, k), atol=1e-6)
    assert not found[2].any()


@pytest.mark.parametrize("present", [0, 1])
def test_too_little_content_ties_nothing(present: int) -> None:
    content = np.zeros((ITEMS, 4), dtype=np.float32)
    content[:present, 0] = 1
    assert nearest_items(torch.from_numpy(content), 3).shape == (2, 0)
    assert not item_graph(content, 3, "cpu").to_dense().any()


def test_smoothing_passes_the_numerical_check() -> None:
    ties = item_graph(some_content(), 2, "cpu").to_dense().double().to_sparse_csr()
    nodes = torch.randn(ITEMS, 2, dtype=torch.float64, generator=torch.Generator())
    assert torch.allclose(smooth(ties, nodes), ties.to_dense() @ nodes)
    assert torch.autograd.gradcheck(lambda x: smooth(ties, x), nodes.requires_grad_())


def some_interactions() -> np.ndarray:
    train = (np.random.default_rng(0).random((7, ITEMS)) < 0.5).astype(np.float32)
    train[0], train[:, 0] = 1, 1  # nobody is without neighbors: rsqrt stays finite
    return train


def lightgcn_by_hand(train: np.ndarray, nodes: torch.Tensor, layers: int) -> torch.Tensor:
    dense = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)
    dense[: len(train), len(train) :] = torch.from_numpy(train)
    dense = dense + dense.T
    scale = dense.sum(1).rsqrt()
    dense = scale[:, None] * dense * scale
    return sum(torch.matrix_power(dense, k) @ nodes for k in range(layers + 1)) / (layers + 1)


def bpr_by_hand(final: torch.Tensor, first: torch.Tensor, users: int, batch: Batch) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for u, i, j in zip(*(part.flatten().tolist() for part in batch), strict=True):
        margin = final[u] @ final[users + i] - final[u] @ final[users + j]
        penalty = sum((first[row] ** 2).sum() for row in (u, users + i, users + j)) / 2
        total = total - torch.log(torch.sigmoid(margin)) + 0.1 * penalty
    return total / len(batch.users)


def some_batch() -> Batch:
    rng = np.random.default_rng(3)
    return triples(*(torch.from_numpy(rng.integers(0, high, 11)) for high in (7, ITEMS, ITEMS)))


@pytest.mark.parametrize("hops", [1, 2])
def test_frozen_graph_equals_the_dense_computation(hops: int) -> None:
    train, content, batch = some_interactions(), some_content(), some_batch()
    config = FrozenGraphConfig(dim=5, layers=2, regularization=0.1, neighbors=2, hops=hops)
    module = FrozenGraphModule(csr_matrix(train), content, config)
    nodes = module.nodes.detach().double().requires_grad_()
    final = lightgcn_by_hand(train, nodes, 2)
    like = torch.matrix_power(graph_by_hand(content, 2), hops) @ nodes[7:]
    final = torch.cat([final[:7], final[7:] + like])
    for ours, theirs in zip(module.embeddings(), (final[:7], final[7:]), strict=True):
        assert torch.allclose(ours.double(), theirs, atol=1e-6)
    loss, expected = module.loss(batch, torch.Generator()), bpr_by_hand(final, nodes, 7, batch)
    assert abs(loss.item() - expected.item()) < 1e-6
    loss.backward()
    expected.backward()
    assert torch.allclose(module.nodes.grad.double(), nodes.grad, atol=1e-7)


@pytest.mark.parametrize("layers", [0, 2])
def test_content_lightgcn_equals_the_dense_computation(layers: int) -> None:
    train, content, batch = some_interactions(), some_content(), some_batch()
    config = ContentLightGCNConfig(dim=5, layers=layers, regularization=0.1)
    module = ContentLightGCNModule(csr_matrix(train), content, config)
    nodes = module.nodes.detach().double().requires_grad_()
    weight = module.projection.weight.detach().double().requires_grad_()  # [d, width]
    first = torch.cat([nodes[:7], nodes[7:] + torch.from_numpy(content).double() @ weight.T])
    final = lightgcn_by_hand(train, first, layers)
    for ours, theirs in zip(module.embeddings(), (final[:7], final[7:]), strict=True):
        assert torch.allclose(ours.double(), theirs, atol=1e-6)
    loss, expected = module.loss(batch, torch.Generator()), bpr_by_hand(final, first, 7, batch)
    assert abs(loss.item() - expected.item()) < 1e-6
    loss.backward()
    expected.backward()
    assert torch.allclose(module.nodes.grad.double(), nodes.grad, atol=1e-7)
    assert torch.allclose(module.projection.weight.grad.double(), weight.grad, atol=1e-7)
