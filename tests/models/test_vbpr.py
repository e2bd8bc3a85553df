"""VBPR against its equation, and against what the MMRec toolbox computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.base import Recommender
from neggen.models.popularity import Popularity
from neggen.models.vbpr import VBPR, VBPRConfig, VBPRModule
from neggen.testing import RecommenderContract, checkerboard

CONFIG = VBPRConfig(dim=4, regularization=0.3)


class TestVBPR(RecommenderContract):
    def model(self) -> Recommender:
        return VBPR(content="descriptions", dim=16, learning_rate=0.05, epochs=15)


def module_of(problem) -> VBPRModule:
    return problem.filled(VBPRModule(problem.interactions, problem.features, CONFIG))


def test_loss_and_gradient_equal_those_by_hand(two_gaps) -> None:
    module, batch = module_of(two_gaps), two_gaps.batch

    def by_hand(w: dict[str, Tensor]) -> Tensor:
        content = torch.cat([two_gaps.values("image"), two_gaps.values("text")], dim=1)
        rows = content @ w["projection.weight"].T + w["projection.bias"]
        users = torch.cat([w["nodes"][:5], w["tastes"]], dim=1)
        items = torch.cat([w["nodes"][5:], rows], dim=1)
        batch_rows = users[batch.users], items[batch.positives], items[batch.negatives[:, 0]]
        norms = sum(each.norm() for each in batch_rows)
        return two_gaps.bpr(users, items) + 0.3 * norms / len(batch.users)

    two_gaps.agree(module, module.loss(batch, torch.Generator()), by_hand, atol=1e-6)


def test_equals_the_toolbox(two_gaps) -> None:
    # github.com/enoche/MMRec (e775373), src/models/vbpr.py: calculate_loss with these weights and
    # reg_weight = 0.3, before and after a step of SGD.
    module = module_of(two_gaps)
    losses = two_gaps.two_losses(
        module, lambda: module.loss(two_gaps.batch, torch.Generator()), rate=0.5
    )
    assert losses == pytest.approx([1.987173, 1.094764], abs=1e-5)


def test_content_alone_ranks_what_nobody_has_used() -> None:
    data = checkerboard().split("cold-items")
    model = VBPR(content="descriptions", dim=16, learning_rate=0.05, epochs=15).fit(data)
    new = np.flatnonzero(np.bincount(data.train.indices, minlength=data.shape[1]) == 0)
    assert not model.item_embeddings[new, :16].any()
    figures = evaluate_ranking(model.score_index, data.train, data.valid)
    by_count = evaluate_ranking(Popularity().fit(data).score_index, data.train, data.valid)
    assert figures.metrics["ndcg@20"] > 2 * by_count.metrics["ndcg@20"]
