"""LATTICE against dense matrices, and against what the MMRec toolbox computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from neggen.data.vectors import Features, ItemGraph
from neggen.errors import NegGenError
from neggen.models.base import Recommender
from neggen.models.lattice import LATTICE, LATTICEConfig, LATTICEModule
from neggen.testing import RecommenderContract, checkerboard

USERS, ITEMS = 5, 7
CONFIG = LATTICEConfig(dim=4, neighbors=3, regularization=0.02)


class TestLATTICE(RecommenderContract):
    def model(self) -> Recommender:
        return LATTICE(content="descriptions", dim=16, learning_rate=0.05, epochs=8)


def graph_by_hand(problem, w: dict[str, Tensor]) -> Tensor:
    """Zhang et al. 2021, the latent structure of a catalog, with plain matrices."""
    learned = given = torch.zeros(ITEMS, ITEMS, dtype=torch.float64)
    for m, (name, share) in enumerate(
        zip(problem.features, w["modality_logits"].softmax(0), strict=True)
    ):
        weight, bias = w[f"projections.{m}.weight"], w[f"projections.{m}.bias"]
        projected = w[f"features.{m}"] @ weight.T + bias
        learned = learned + share * problem.nearest(projected).clamp(min=0)
        given = given + share * problem.normalized(problem.nearest(problem.values(name)))
    return 0.1 * problem.normalized(learned) + 0.9 * given


def final_by_hand(problem, nodes: Tensor, graph: Tensor) -> tuple[Tensor, Tensor]:
    whole = torch.eye(len(nodes), dtype=torch.float64)
    whole[:USERS, USERS:] = torch.from_numpy(problem.train)
    whole[USERS:, :USERS] = torch.from_numpy(problem.train).T
    step = whole / whole.sum(1, keepdim=True)
    final = (nodes + step @ nodes + step @ step @ nodes) / 3
    like = graph @ nodes[USERS:]
    return final[:USERS], final[USERS:] + like / like.norm(dim=1, keepdim=True)


def test_two_epochs_of_two_steps_equal_the_dense_ones(linked) -> None:
    module = linked.with_graphs(LATTICEModule, CONFIG)
    weights = {n: p.detach().double().requires_grad_() for n, p in module.named_parameters()}
    for step in range(4):
        if step % 2 == 0:
            module.begin_epoch(1 + step // 2, torch.Generator())
            graph = graph_by_hand(linked, weights)
        else:
            graph = graph.detach()
        loss = module.loss(linked.batch, torch.Generator())
        expected = linked.bpr(*final_by_hand(linked, weights["nodes"], graph), 0.02)
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
    scored = final_by_hand(linked, weights["nodes"], graph_by_hand(linked, weights))
    for ours, theirs in zip(module.embeddings(), scored, strict=True):
        assert torch.allclose(ours.double(), theirs, atol=1e-6)


def test_equals_the_toolbox(linked) -> None:
    """Numbers of ``LATTICE`` of github.com/enoche/MMRec (src/models/lattice.py) on this problem.

    It was run with these weights, cf_model lightgcn, two layers, knn_k 3, reg_weight 0.02, and a
    new epoch before the first and the third step.
    """
    module, losses = linked.with_graphs(LATTICEModule, CONFIG), []
    for steps in (2, 1):
        module.begin_epoch(1, torch.Generator())
        losses += linked.losses(
            module, lambda: module.loss(linked.batch, torch.Generator()), steps, rate=0.5
        )
    assert losses == pytest.approx([0.7312969, 0.7255632, 0.7201075], abs=1e-6)
    scores = module.scorer()(torch.arange(USERS))[2, :3]
    assert scores.tolist() == pytest.approx([0.1014851, 0.1777422, 0.0653384], abs=1e-6)


def test_what_items_lack_makes_no_nan(linked) -> None:
    problem = linked.lacking(present=4)
    problem.train[:, 6] = 0
    module = problem.with_graphs(LATTICEModule, CONFIG.updated(neighbors=10, hops=2))
    for _ in range(2):  # the graph learned, then constant
        module.zero_grad()
        module.loss(problem.batch, torch.Generator()).backward()
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
    assert all(part.isfinite().all() for part in module.embeddings())
    neighbors, weights = module.ties()
    assert not weights[4:].any()
    assert (neighbors[:4][weights[:4] > 0] < 4).all()


@pytest.mark.parametrize(("present", "neighbors"), [(1, 10), (7, 1)])
def test_an_item_may_be_tied_to_itself_alone(present: int, neighbors: int, linked) -> None:
    problem = linked.lacking(present)
    module = problem.with_graphs(LATTICEModule, CONFIG.updated(neighbors=neighbors))
    module.loss(problem.batch, torch.Generator()).backward()
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


def test_a_resumed_training_learns_the_graph_as_an_undisturbed_one(resumed_and_whole) -> None:
    resumed, whole = resumed_and_whole(LATTICE, batch_size=100)
    assert resumed.item_embeddings.equal(whole.item_embeddings)
