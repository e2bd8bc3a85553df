"""LATTICE against dense matrices, and against what the MMRec toolbox computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.data.vectors import Features, ItemGraph
from neggen.errors import NegGenError
from neggen.models.base import FitContext, Recommender
from neggen.models.item_graphs import nearest_graph
from neggen.models.lattice import LATTICE, LATTICEConfig, LATTICEModule
from neggen.negatives.base import Batch
from neggen.testing import RecommenderContract, checkerboard
from neggen.training.loop import EpochLog

USERS, ITEMS = 5, 7
CONFIG = LATTICEConfig(dim=4, neighbors=3, regularization=0.02)


class TestLATTICE(RecommenderContract):
    def model(self) -> Recommender:
        return LATTICE(content="descriptions", dim=16, learning_rate=0.05, epochs=8)


def problem(present: int = ITEMS) -> tuple[np.ndarray, dict[str, Features], Batch]:
    """Return interactions, features that the items from ``present`` on lack, and a batch."""
    rng = np.random.default_rng(0)
    train = (rng.random((USERS, ITEMS)) < 0.5).astype(np.float32)
    train[0], train[:, 0] = 1, 1
    mask, features = np.arange(ITEMS) < present, {}
    for name, width in (("image", 6), ("text", 3)):
        rows = rng.random((ITEMS, width)) * mask[:, None]  # no negative cosines
        features[name] = Features(rows.astype(np.float32), mask)
    drawn = [torch.from_numpy(rng.integers(0, high, 6)) for high in (USERS, ITEMS, ITEMS)]
    return train, features, Batch(drawn[0], drawn[1], drawn[2][:, None])


def make(train: np.ndarray, features: dict[str, Features], config: LATTICEConfig) -> LATTICEModule:
    graphs = {
        name: nearest_graph(given, config.neighbors, "cpu") for name, given in features.items()
    }
    module = LATTICEModule(csr_matrix(train), graphs, features, config)
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for parameter in (module.nodes, module.modality_logits, *module.projections.parameters()):
            parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape) / 2))
    return module


def cosine_graph(rows: Tensor, k: int = 3) -> Tensor:
    unit = rows / rows.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    ties = torch.zeros_like(cosines, dtype=torch.bool)
    for item in range(len(rows)):
        ties[item, cosines[item].argsort(descending=True)[:k]] = True
    return torch.where(ties, cosines, 0).clamp(min=0)


def normalized(ties: Tensor) -> Tensor:
    scale = ties.sum(1).rsqrt()
    return scale[:, None] * ties * scale


def dense_graph(weights: dict[str, Tensor], given: list[Tensor]) -> Tensor:
    """Zhang et al. 2021, the latent structure of a catalog, with plain matrices."""
    shares = weights["modality_logits"].softmax(0)
    learned = sum(
        share
        * cosine_graph(
            weights[f"features.{m}"] @ weights[f"projections.{m}.weight"].T
            + weights[f"projections.{m}.bias"]
        )
        for m, share in enumerate(shares)
    )
    whole = sum(share * graph for share, graph in zip(shares, given, strict=True))
    return 0.1 * normalized(learned) + 0.9 * whole


def dense(train: np.ndarray, nodes: Tensor, graph: Tensor) -> tuple[Tensor, Tensor]:
    whole = torch.eye(len(nodes), dtype=torch.float64)
    whole[:USERS, USERS:] = torch.from_numpy(train)
    whole[USERS:, :USERS] = torch.from_numpy(train).T
    step = whole / whole.sum(1, keepdim=True)
    final = (nodes + step @ nodes + step @ step @ nodes) / 3
    like = graph @ nodes[USERS:]
    return final[:USERS], final[USERS:] + like / like.norm(dim=1, keepdim=True)


def dense_loss(users: Tensor, items: Tensor, batch: Batch) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for u, i, j in zip(*(part.flatten().tolist() for part in batch), strict=True):
        penalty = sum((row**2).sum() for row in (users[u], items[i], items[j])) / 2
        total = total - F.logsigmoid(users[u] @ (items[i] - items[j])) + 0.02 * penalty
    return total / len(batch.users)


def test_two_epochs_of_two_steps_equal_the_dense_ones() -> None:
    train, features, batch = problem()
    module = make(train, features, CONFIG)
    given = [normalized(cosine_graph(torch.tensor(f.values).double())) for f in features.values()]
    weights = {n: p.detach().double().requires_grad_() for n, p in module.named_parameters()}
    for step in range(4):
        if step % 2 == 0:
            module.begin_epoch(1 + step // 2, torch.Generator())
            graph = dense_graph(weights, given)
        else:
            graph = graph.detach()
        loss = module.loss(batch, torch.Generator())
        expected = dense_loss(*dense(train, weights["nodes"], graph), batch)
        assert abs(loss.item() - expected.item()) < 1e-6
        module.zero_grad()
        loss.backward()
        gradients = torch.autograd.grad(expected, list(weights.values()), allow_unused=True)
        for (name, ours), theirs in zip(module.named_parameters(), gradients, strict=True):
            assert (ours.grad is None) == (theirs is None) == (step % 2 == 1 and name != "nodes")
            if theirs is not None:
                assert torch.allclose(ours.grad.double(), theirs, atol=1e-6, rtol=1e-4)
        torch.optim.SGD(module.parameters(), lr=0.5).step()
        weights = {
            name: (w if g is None else w - 0.5 * g).detach().requires_grad_()
            for (name, w), g in zip(weights.items(), gradients, strict=True)
        }
    scored = dense(train, weights["nodes"], dense_graph(weights, given))
    for ours, theirs in zip(module.embeddings(), scored, strict=True):
        assert torch.allclose(ours.double(), theirs, atol=1e-6)


def test_equals_the_toolbox() -> None:
    """Numbers of ``LATTICE`` of github.com/enoche/MMRec (src/models/lattice.py) on this problem.

    It was run with the weights below, cf_model lightgcn, two layers, knn_k 3, reg_weight 0.02, and
    a new epoch before the first and the third step.
    """
    train, features, batch = problem()
    module = make(train, features, CONFIG)
    losses = []
    for step in range(3):
        if step % 2 == 0:
            module.begin_epoch(1, torch.Generator())
        losses.append(module.loss(batch, torch.Generator()))
        module.zero_grad()
        losses[-1].backward()
        torch.optim.SGD(module.parameters(), lr=0.5).step()
    scores = module.scorer()(torch.arange(USERS))[2, :3]
    assert torch.stack(losses).tolist() == pytest.approx(
        [0.7312969, 0.7255632, 0.7201075], abs=1e-6
    )
    assert scores.tolist() == pytest.approx([0.1014851, 0.1777422, 0.0653384], abs=1e-6)


def test_what_items_lack_makes_no_nan() -> None:
    train, features, batch = problem(present=4)
    train[:, 6] = 0
    module = make(train, features, CONFIG.updated(neighbors=10, hops=2))
    for _ in range(2):  # the graph learned, then constant
        module.zero_grad()
        module.loss(batch, torch.Generator()).backward()
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
    assert all(part.isfinite().all() for part in module.embeddings())
    neighbors, weights = module.ties()
    assert not weights[4:].any()
    assert (neighbors[:4][weights[:4] > 0] < 4).all()


@pytest.mark.parametrize(("present", "neighbors"), [(1, 10), (7, 1)])
def test_an_item_may_be_tied_to_itself_alone(present: int, neighbors: int) -> None:
    train, features, batch = problem(present)
    module = make(train, features, CONFIG.updated(neighbors=neighbors))
    module.loss(batch, torch.Generator()).backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    ties, weights = module.ties()
    assert torch.equal(ties[:present, 0], torch.arange(present))
    assert torch.allclose(weights.sum(1), (torch.arange(ITEMS) < present).float(), atol=1e-6)


def test_given_features_are_left_as_they_are() -> None:
    data = checkerboard()
    values = data.vectors.positive[:, 1].copy()
    data = data.replace(vectors=None, features={"text": Features(values, np.ones(40, dtype=bool))})
    LATTICE(dim=4, epochs=2).fit(data)
    assert np.array_equal(values, checkerboard().vectors.positive[:, 1])


def test_needs_features() -> None:
    graph = ItemGraph(np.arange(40)[:, None].astype(np.int32), np.ones((40, 1), dtype=np.float32))
    data = checkerboard().replace(vectors=None, records=None, graphs={"text": graph})
    with pytest.raises(NegGenError, match="no features"):
        LATTICE(neighbors=1).fit(data)


def test_a_resumed_training_learns_the_graph_as_an_undisturbed_one(tmp_path: Path) -> None:
    class Interruption(Exception):
        pass

    def interrupt(phase: str, log: EpochLog) -> None:
        if log.epoch == 4:
            raise Interruption

    settings = {"content": "descriptions", "dim": 4, "epochs": 6, "checkpoint_seconds": 0}
    settings |= {"evaluate_every": 1, "batch_size": 100}
    data = checkerboard()
    with pytest.raises(Interruption):
        LATTICE(**settings).fit(data, FitContext(tmp_path, interrupt))
    resumed = LATTICE(**settings).fit(data, FitContext(tmp_path))
    whole = LATTICE(**settings).fit(data)
    assert resumed.item_embeddings.equal(whole.item_embeddings)
