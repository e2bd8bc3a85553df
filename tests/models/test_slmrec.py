"""SLMRec against its equations, and against what the MMRec toolbox computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neggen.models.base import Recommender
from neggen.models.slmrec import SLMRec, SLMRecConfig, SLMRecModule
from neggen.testing import RecommenderContract


class TestSLMRec(RecommenderContract):
    def model(self) -> Recommender:
        return SLMRec(content="descriptions", dim=16, learning_rate=0.05, epochs=8)


def test_equals_the_toolbox(small) -> None:
    # src/models/slmrec.py of github.com/enoche/MMRec at e775373: calculate_loss before and after a
    # step, on the same weights, features and batch, with its idle map (g_iv_iva) the identity.
    config = SLMRecConfig(dim=4, layers=2, task_temperature=0.5, weight_decay=0)
    module = small.filled(SLMRecModule(small.interactions, small.features, config))
    losses = small.two_losses(module, lambda: module.loss(small.batch, torch.Generator()))
    assert np.allclose(losses, [2.78075147, 2.35616660], atol=2e-6)


def test_feature_dropout_equals_the_toolbox(small) -> None:
    # The same with ssl_task = FD and images alone, and the masks that our generator draws.
    config = SLMRecConfig(dim=4, layers=2, task="fd", task_temperature=0.5, weight_decay=0)
    images = {"image": small.features["image"]}
    module = small.filled(SLMRecModule(small.interactions, images, config))

    def loss() -> Tensor:
        return module.loss(small.batch, torch.Generator().manual_seed(3))

    assert np.allclose(small.two_losses(module, loss), [2.08019471, 1.98889601], atol=2e-6)


def match(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """−log of each row's share of its own partner, mean."""
    total = torch.zeros((), dtype=torch.float64)
    for row in range(len(one)):
        chances = torch.exp(other @ one[row] / temperature)
        total = total - torch.log(chances[row] / chances.sum())
    return total / len(one)


@pytest.mark.parametrize("task", ["fac", "fd", "fm", "fd+fm"])
def test_equals_the_equations(task: str, gappy) -> None:
    config = SLMRecConfig(dim=4, layers=2, task=task, task_weight=0.7, weight_decay=0.01)
    module = gappy.filled(SLMRecModule(gappy.interactions, gappy.features, config))
    users, items = gappy.batch.users, gappy.batch.positives + 5

    def by_hand(w: dict[str, Tensor]) -> Tensor:
        generator = torch.Generator().manual_seed(3)

        def linear(name: str, rows: Tensor) -> Tensor:
            return rows @ w[f"{name}.weight"].T + w[f"{name}.bias"]

        def fused(channels: list[Tensor]) -> list[Tensor]:
            rows = torch.cat(channels, dim=1)
            both = linear("fuse_users", rows[users]), linear("fuse_items", rows[items])
            return [F.normalize(part, dim=1) for part in both]

        def view(without: int) -> list[Tensor]:
            first = [
                torch.cat([w["nodes"][:5], own * (channel != without)])
                for channel, own in enumerate(starts)
            ]
            hops = [torch.cat(first, dim=1)]
            for _ in range(2):
                hop = gappy.adjacency @ hops[-1]
                if "fd" in task:
                    hop = hop * (torch.rand(12, 12, generator=generator) >= 0.3) / 0.7
                hops.append(hop)
            return fused([torch.stack(hops).mean(0)])

        starts = [w["nodes"][5:]]
        for m, name in enumerate(("image", "text")):
            rows = gappy.values(name)
            unit = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-9)
            starts.append(linear(f"projections.{m}", unit))
        channels = [gappy.lightgcn(torch.cat([w["nodes"][:5], own]), 2) for own in starts]
        loss = match(*fused(channels), 0.2)
        if task == "fac":
            own, image, text = (channel[items] for channel in channels)
            one = linear("coarse.0", own)
            other = linear("coarse.1", one)
            loss = loss + 0.7 * match(one, linear("fine.0", image), 0.2)
            loss = loss + 0.7 * match(other, linear("fine.1", text), 0.2)
        else:
            masked = [-1, -1]
            if "fm" in task:
                masked = torch.randperm(3, generator=generator).tolist()
            for one, other in zip(view(masked[0]), view(masked[1]), strict=True):
                loss = loss + 0.7 * match(one, other, 0.2)
        return loss + 0.01 / 2 * sum(weight.square().sum() for weight in w.values())

    loss = module.loss(gappy.batch, torch.Generator().manual_seed(3))
    gappy.agree(module, loss, by_hand)


def test_the_last_of_several_modalities_is_compared_in_half_the_dimensions(small) -> None:
    def widths(*modalities: str) -> list[int]:
        features = {name: small.features[name] for name in modalities}
        module = SLMRecModule(small.interactions, features, SLMRecConfig(dim=8))
        return [fine.out_features for fine in module.fine]

    assert widths("image", "text") == [8, 4]
    assert widths("text") == [8]
