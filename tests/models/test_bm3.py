"""BM3 against its equations, and against what the MMRec toolbox computes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neggen.models.base import Recommender
from neggen.models.bm3 import BM3, BM3Config, BM3Module
from neggen.testing import RecommenderContract


class TestBM3(RecommenderContract):
    def model(self) -> Recommender:
        return BM3(content="descriptions", dim=16, learning_rate=0.01, epochs=100)


def test_equals_the_toolbox(small) -> None:
    # src/models/bm3.py of github.com/enoche/MMRec at e775373: calculate_loss before and after a
    # step, on the same weights, features and batch, without dropout.
    config = BM3Config(dim=4, layers=2, dropout=0)
    module = small.filled(BM3Module(small.interactions, small.features, config))
    losses = small.two_losses(module, lambda: module.loss(small.batch, torch.Generator()))
    assert np.allclose(losses, [9.20950127, 6.18483829], atol=5e-6)


def test_equals_the_equations(gappy) -> None:
    config = BM3Config(dim=4, layers=1, dropout=0.5, alignment=0.7, regularization=0.3)
    module = gappy.filled(BM3Module(gappy.interactions, gappy.features, config))
    users, items = gappy.batch.users.tolist(), gappy.batch.positives.tolist()

    def by_hand(w: dict[str, Tensor]) -> Tensor:
        generator = torch.Generator().manual_seed(3)

        def view(rows: Tensor) -> Tensor:
            return rows.detach() * (torch.rand(5, 4, generator=generator) >= 0.5) * 2

        def apart(rows: Tensor, view: Tensor) -> Tensor:  # rows are predicted from
            found = rows @ w["predictor.weight"].T + w["predictor.bias"]
            cosines = [
                a @ b / a.norm() / b.norm().clamp(min=1e-9)
                for a, b in zip(found, view, strict=True)
            ]
            return 1 - torch.stack(cosines)

        h = gappy.lightgcn(w["nodes"], 1)
        h = torch.cat([h[:5], h[5:] + w["nodes"][5:]])
        own, liked = h[users], h[[5 + item for item in items]]
        user_view, item_view = view(own), view(liked)
        loss = apart(own, item_view).mean() + apart(liked, user_view).mean()
        for m, name in enumerate(("image", "text")):
            weight, bias = w[f"projections.{m}.weight"], w[f"projections.{m}.bias"]
            rows = (w[f"features.{m}"] @ weight.T + bias)[items]
            both = apart(rows, item_view) + apart(rows, view(rows))
            known = [row for row, item in enumerate(items) if gappy.features[name].mask[item]]
            loss = loss + 0.7 * both[known].mean()
        return loss + 0.3 * (h[:5].norm() + h[5:].norm()) / 7

    loss = module.loss(gappy.batch, torch.Generator().manual_seed(3))
    gappy.agree(module, loss, by_hand)
    assert not module.features[0].grad[1].any()  # what is missing is not learned


def test_features_may_stay_as_they_are(small) -> None:
    module = BM3Module(small.interactions, small.features, BM3Config(train_features=False))
    assert not [name for name in module.state_dict() if "features" in name]


def test_training_leaves_the_data_as_they_are(small) -> None:
    values = small.features["text"].values
    before = values.copy()
    module = BM3Module(small.interactions, small.features, BM3Config(dim=4))
    small.two_losses(module, lambda: module.loss(small.batch, torch.Generator()))
    assert np.array_equal(values, before)
    assert not np.array_equal(module.features[1].detach(), before)
