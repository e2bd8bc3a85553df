"""FREEDOM against dense matrices, and against what its authors' code computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from neggen.data.vectors import Features, ItemGraph
from neggen.models.base import Recommender
from neggen.models.freedom import FREEDOM, FREEDOMConfig, FREEDOMModule
from neggen.negatives.base import Batch
from neggen.testing import RecommenderContract, checkerboard

USERS, ITEMS = 5, 7
CONFIG = FREEDOMConfig(dim=4, neighbors=3, pruning=0.4, feature_weight=0.3)


class TestFREEDOM(RecommenderContract):
    def model(self) -> Recommender:
        return FREEDOM(content="descriptions", dim=16, pruning=0.3, learning_rate=0.05, epochs=8)


def like_by_hand(problem) -> Tensor:
    total = torch.zeros(ITEMS, ITEMS, dtype=torch.float64)
    for name, share in (("image", 0.1), ("text", 0.9)):
        ties = (problem.nearest(problem.values(name)) != 0).double()
        total += share * problem.normalized(ties)
    return total


def final_by_hand(problem, nodes: Tensor) -> list[Tensor]:
    """Return user and item embeddings."""
    users, items = problem.lightgcn(nodes, 2).split([USERS, ITEMS])
    return [users, items + like_by_hand(problem) @ nodes[USERS:]]


@pytest.mark.parametrize("size", [3, 6])  # a batch of fewer rows than items, and of more
def test_loss_and_gradient_steps_equal_the_dense_ones(size: int, linked_signed) -> None:
    problem = replace(linked_signed, batch=Batch(*(part[:size] for part in linked_signed.batch)))
    module = problem.with_graphs(FREEDOMModule, CONFIG)
    module.begin_epoch(1, torch.Generator().manual_seed(7))
    edges = (module.adjacency.to_dense()[:USERS, USERS:] > 0).float().numpy()
    pruned = replace(problem, train=edges)

    def by_hand(w: dict[str, Tensor]) -> Tensor:
        users, items = final_by_hand(pruned, w["nodes"])
        loss = pruned.bpr(users, items)
        for m in range(2):
            weight, bias = w[f"projections.{m}.weight"], w[f"projections.{m}.bias"]
            loss = loss + 0.3 * pruned.bpr(users, w[f"features.{m}"] @ weight.T + bias)
        return loss

    for _ in range(2):
        module.zero_grad()
        loss = module.loss(problem.batch, torch.Generator())
        problem.agree(module, loss, by_hand, atol=1e-6)
        torch.optim.SGD(module.parameters(), lr=0.5).step()
    scored = final_by_hand(problem, module.nodes.detach().double())
    for ours, theirs in zip(module.embeddings(), scored, strict=True):  # over the whole graph
        assert torch.allclose(ours.double(), theirs, atol=1e-6)


def test_equals_the_authors_code(linked_signed) -> None:
    """Numbers of ``FREEDOM`` of github.com/enoche/MMRec (src/models/freedom.py) on this problem.

    It was run with these weights, knn_k 3, dropout 0.4, reg_weight 0.3, and the global generator
    seeded with 7 before ``pre_epoch_processing``.
    """
    module = linked_signed.with_graphs(FREEDOMModule, CONFIG)
    module.begin_epoch(1, torch.Generator().manual_seed(7))
    batch = linked_signed.batch
    losses = linked_signed.losses(
        module, lambda: module.loss(batch, torch.Generator()), steps=3, rate=0.5
    )
    assert losses == pytest.approx([1.0368273, 1.0222502, 1.0070701], abs=1e-6)
    scores = module.scorer()(torch.arange(USERS))[2, :3]
    assert scores.tolist() == pytest.approx([0.0857746, 0.2283392, 0.1165765], abs=1e-6)


def test_pruning_spares_the_edges_of_small_nodes(linked_signed) -> None:
    train = np.zeros((20, 20), dtype=np.float32)
    train[:10, 0] = 1  # ten edges at an item with ten users: chances ∝ 1/√10
    train[np.arange(10, 20), np.arange(10, 20)] = 1  # ten edges of their own: chances ∝ 1
    features = {"text": Features(np.eye(20, dtype=np.float32), np.ones(20, dtype=bool))}
    problem = replace(linked_signed, train=train, features=features)
    module = problem.with_graphs(FREEDOMModule, CONFIG.updated(pruning=0.9))
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


def test_without_pruning_it_learns_on_the_whole_graph(linked_signed) -> None:
    module = linked_signed.with_graphs(FREEDOMModule, CONFIG.updated(pruning=0))
    module.begin_epoch(1, torch.Generator())
    assert module.adjacency is module.whole


def test_shares_of_modalities(linked_signed) -> None:
    def item_graph(**modalities: Features) -> Tensor:
        problem = replace(linked_signed, features=modalities)
        return problem.with_graphs(FREEDOMModule, CONFIG).item_graph.matrix.to_dense()

    image, text = linked_signed.features["image"], linked_signed.features["text"]
    three, pair = item_graph(image=image, text=text, audio=text), item_graph(image=image, text=text)
    assert torch.allclose(three, pair, atol=1e-6)  # text and audio share the 0.9 of text
    for alone in (item_graph(image=image), item_graph(text=text)):
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


def test_what_items_lack_makes_no_nan(linked_signed) -> None:
    problem = linked_signed.lacking(present=4)
    problem.train[:, 5:] = 0
    module = problem.with_graphs(FREEDOMModule, CONFIG.updated(pruning=0.9, neighbors=10))
    module.begin_epoch(1, torch.Generator().manual_seed(0))
    module.loss(problem.batch, torch.Generator()).backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    assert all(part.isfinite().all() for part in module.embeddings())


def test_a_resumed_training_prunes_as_an_undisturbed_one(resumed_and_whole) -> None:
    resumed, whole = resumed_and_whole(FREEDOM)
    assert [log.loss for log in resumed.history["freedom"]] == [
        log.loss for log in whole.history["freedom"]
    ]
    assert resumed.item_embeddings.equal(whole.item_embeddings)
