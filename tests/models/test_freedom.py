"""FREEDOM against dense matrices, and against what its authors' code computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix

from neggen.data.vectors import Features, ItemGraph
from neggen.models.base import FitContext, Recommender
from neggen.models.freedom import FREEDOM, FREEDOMConfig, FREEDOMModule
from neggen.models.item_graphs import nearest_graph
from neggen.negatives.base import Batch
from neggen.testing import RecommenderContract, checkerboard
from neggen.training.loop import EpochLog

USERS, ITEMS = 5, 7
CONFIG = FREEDOMConfig(dim=4, neighbors=3, pruning=0.4, feature_weight=0.3)


class TestFREEDOM(RecommenderContract):
    def model(self) -> Recommender:
        return FREEDOM(content="descriptions", dim=16, pruning=0.3, learning_rate=0.05, epochs=8)


def problem(present: int = ITEMS) -> tuple[np.ndarray, dict[str, Features], Batch]:
    """Return interactions, features that the items from ``present`` on lack, and a batch."""
    rng = np.random.default_rng(0)
    train = (rng.random((USERS, ITEMS)) < 0.5).astype(np.float32)
    train[0], train[:, 0] = 1, 1  # nobody is without neighbors: rsqrt stays finite
    mask, features = np.arange(ITEMS) < present, {}
    for name, width in (("image", 6), ("text", 3)):
        rows = rng.normal(size=(ITEMS, width)) * mask[:, None]
        features[name] = Features(rows.astype(np.float32), mask)
    drawn = [torch.from_numpy(rng.integers(0, high, 6)) for high in (USERS, ITEMS, ITEMS)]
    return train, features, Batch(drawn[0], drawn[1], drawn[2][:, None])


def make(train: np.ndarray, features: dict[str, Features], config: FREEDOMConfig) -> FREEDOMModule:
    graphs = {
        name: nearest_graph(given, config.neighbors, "cpu") for name, given in features.items()
    }
    module = FREEDOMModule(csr_matrix(train), graphs, features, config)
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for parameter in (module.nodes, *module.projections.parameters()):
            parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape) / 2))
    return module


def like_by_hand(features: dict[str, Features]) -> torch.Tensor:
    total = torch.zeros(ITEMS, ITEMS, dtype=torch.float64)
    for name, share in (("image", 0.1), ("text", 0.9)):
        rows = features[name].values.astype(float)
        cosines = rows @ rows.T / np.outer(*[np.linalg.norm(rows, axis=1)] * 2)
        ties = torch.zeros(ITEMS, ITEMS, dtype=torch.float64)
        for item in range(ITEMS):
            ties[item, np.argsort(-cosines[item])[:3].copy()] = 1
        scale = ties.sum(1).rsqrt()
        total += share * scale[:, None] * ties * scale
    return total


def dense(edges: torch.Tensor, nodes: torch.Tensor, like: torch.Tensor) -> list[torch.Tensor]:
    """Return user and item embeddings over a 0/1 matrix of interactions."""
    whole = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)
    whole[:USERS, USERS:] = edges
    whole = whole + whole.T
    scale = whole.sum(1).clamp(min=1e-30).rsqrt()
    step = scale[:, None] * whole * scale
    final = (nodes + step @ nodes + step @ step @ nodes) / 3
    return [final[:USERS], final[USERS:] + like @ nodes[USERS:]]


def dense_loss(module: FREEDOMModule, weights: list[torch.Tensor], batch: Batch) -> torch.Tensor:
    nodes, *rest = weights
    features, matrices, biases = rest[:2], rest[2::2], rest[3::2]
    edges = (module.adjacency.to_dense()[:USERS, USERS:] > 0).double()
    like = like_by_hand(problem()[1])  # of the features as they were before training
    users, items = dense(edges, nodes, like)
    total = torch.zeros((), dtype=torch.float64)
    scored = [(1.0, items)]
    scored += [(0.3, x @ w.T + b) for x, w, b in zip(features, matrices, biases, strict=True)]
    for weight, rows in scored:
        for u, i, j in zip(*(part.flatten().tolist() for part in batch), strict=True):
            total = total - weight * F.logsigmoid(users[u] @ (rows[i] - rows[j]))
    return total / len(batch.users)


@pytest.mark.parametrize("size", [3, 6])  # a batch of fewer rows than items, and of more
def test_loss_and_gradient_steps_equal_the_dense_ones(size: int) -> None:
    train, features, batch = problem()
    batch = Batch(*(part[:size] for part in batch))
    module = make(train, features, CONFIG)
    module.begin_epoch(1, torch.Generator().manual_seed(7))
    weights = [p.detach().double().requires_grad_() for p in module.parameters()]
    for _ in range(2):
        loss, expected = module.loss(batch, torch.Generator()), dense_loss(module, weights, batch)
        assert abs(loss.item() - expected.item()) < 1e-6
        module.zero_grad()
        loss.backward()
        gradients = torch.autograd.grad(expected, weights)
        for ours, theirs in zip(module.parameters(), gradients, strict=True):
            assert torch.allclose(ours.grad.double(), theirs, atol=1e-6)
        torch.optim.SGD(module.parameters(), lr=0.5).step()
        weights = [w - 0.5 * g for w, g in zip(weights, gradients, strict=True)]
    scored = dense(torch.from_numpy(train).double(), weights[0], like_by_hand(features))
    for ours, theirs in zip(module.embeddings(), scored, strict=True):  # over the whole graph
        assert torch.allclose(ours.double(), theirs, atol=1e-6)


def test_equals_the_authors_code() -> None:
    """Numbers of ``FREEDOM`` of github.com/enoche/MMRec (src/models/freedom.py) on this problem.

    It was run with the weights below, knn_k 3, dropout 0.4, reg_weight 0.3, and the global
    generator seeded with 7 before ``pre_epoch_processing``.
    """
    train, features, batch = problem()
    module = make(train, features, CONFIG)
    module.begin_epoch(1, torch.Generator().manual_seed(7))
    losses = []
    for _ in range(3):
        losses.append(module.loss(batch, torch.Generator()))
        module.zero_grad()
        losses[-1].backward()
        torch.optim.SGD(module.parameters(), lr=0.5).step()
    scores = module.scorer()(torch.arange(USERS))[2, :3]
    assert torch.stack(losses).tolist() == pytest.approx(
        [1.0368273, 1.0222502, 1.0070701], abs=1e-6
    )
    assert scores.tolist() == pytest.approx([0.0857746, 0.2283392, 0.1165765], abs=1e-6)


def test_pruning_spares_the_edges_of_small_nodes() -> None:
    train = np.zeros((20, 20), dtype=np.float32)
    train[:10, 0] = 1  # ten edges at an item with ten users: chances ∝ 1/√10
    train[np.arange(10, 20), np.arange(10, 20)] = 1  # ten edges of their own: chances ∝ 1
    features = {"text": Features(np.eye(20, dtype=np.float32), np.ones(20, dtype=bool))}
    module = make(train, features, CONFIG.updated(pruning=0.9))
    generator, kept = torch.Generator().manual_seed(0), []
    for epoch in range(1, 301):
        module.begin_epoch(epoch, generator)
        edges = module.adjacency.to_dense()[:20, 20:] > 0
        assert edges.sum() == 2
        assert (torch.from_numpy(train)[edges] == 1).all()
        kept.append(edges[10:].sum().item() / 2)
    # The first draw takes a lonely edge with 10 / (10 + √10) = 0.76; the second a bit less often.
    assert 0.70 < np.mean(kept) < 0.80
    assert module.whole.to_dense()[:20, 20:].count_nonzero() == 20


def test_without_pruning_it_learns_on_the_whole_graph() -> None:
    module = make(*problem()[:2], CONFIG.updated(pruning=0))
    module.begin_epoch(1, torch.Generator())
    assert module.adjacency is module.whole


def test_shares_of_modalities() -> None:
    train, features, _ = problem()
    text = features["text"]
    three = {"image": features["image"], "text": text, "audio": text}
    whole = make(train, three, CONFIG).item_graph.matrix.to_dense()
    pair = make(train, features, CONFIG).item_graph.matrix.to_dense()
    assert torch.allclose(whole, pair, atol=1e-6)  # text and audio share the 0.9 of text
    for name in ("image", "text"):
        alone = make(train, {name: features[name]}, CONFIG).item_graph.matrix.to_dense()
        assert torch.allclose(alone.sum(), torch.tensor(7.0), atol=1e-5)


def test_learns_from_graphs_alone() -> None:
    data = checkerboard()
    near = np.arange(40)[:, None] + np.array([0, 2, 4])
    near[near >= 40] -= 40
    graph = ItemGraph(near.astype(np.int32), np.ones((40, 3), dtype=np.float32))
    data = data.replace(vectors=None, records=None, graphs={"text": graph})
    model = FREEDOM(dim=16, neighbors=3, learning_rate=0.05, epochs=8).fit(data)
    frame = model.recommend(["user-00", "user-01"], k=5)
    parity = frame["item_id"].str.slice(-2).cast(int) % 2
    assert parity.to_list() == [0] * 5 + [1] * 5


def test_what_items_lack_makes_no_nan() -> None:
    train, features, batch = problem(present=4)
    train[:, 5:] = 0
    train[:, 6] = 0
    module = make(train, features, CONFIG.updated(pruning=0.9, neighbors=10))
    module.begin_epoch(1, torch.Generator().manual_seed(0))
    module.loss(batch, torch.Generator()).backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert all(part.isfinite().all() for part in module.embeddings())


def test_a_resumed_training_prunes_as_an_undisturbed_one(tmp_path: Path) -> None:
    class Interruption(Exception):
        pass

    def interrupt(phase: str, log: EpochLog) -> None:
        if log.epoch == 4:
            raise Interruption

    settings = {
        "content": "descriptions",
        "dim": 4,
        "epochs": 6,
        "checkpoint_seconds": 0,
        "evaluate_every": 1,
    }
    data = checkerboard()
    with pytest.raises(Interruption):
        FREEDOM(**settings).fit(data, FitContext(tmp_path, interrupt))
    resumed = FREEDOM(**settings).fit(data, FitContext(tmp_path))
    whole = FREEDOM(**settings).fit(data)
    assert [log.loss for log in resumed.history["freedom"]] == [
        log.loss for log in whole.history["freedom"]
    ]
    assert resumed.item_embeddings.equal(whole.item_embeddings)
