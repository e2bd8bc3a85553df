"""LGMRec against its equations, and against what the MMRec toolbox computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neggen.models.base import Recommender
from neggen.models.lgmrec import LGMRec, LGMRecConfig, LGMRecModule
from neggen.negatives.base import Batch, Draw
from neggen.negatives.uniform import Uniform
from neggen.negatives.view import View
from neggen.testing import RecommenderContract, all_in_training

SETTINGS = {"dim": 4, "hyperedges": 3, "contrast": 1e-2}


class TestLGMRec(RecommenderContract):
    def model(self) -> Recommender:
        return LGMRec(content="descriptions", dim=16, learning_rate=0.05, epochs=8)


def test_equals_the_toolbox(small, monkeypatch: pytest.MonkeyPatch) -> None:
    # src/models/lgmrec.py of github.com/enoche/MMRec at e775373: calculate_loss before and after a
    # step, on the same weights, features and batch, without noise, dropout and regularization.
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self, generator: self.fill_(1))
    config = LGMRecConfig(**SETTINGS, dropout=0, regularization=0)
    module = small.filled(LGMRecModule(small.interactions, small.features, config))
    losses = small.two_losses(module, lambda: module.loss(small.batch, torch.Generator()))
    assert np.allclose(losses, [0.48193014, 0.45915610], atol=1e-6)


def embeddings_by_hand(
    small, w: dict[str, Tensor], generator: torch.Generator | None
) -> tuple[Tensor, list[Tensor]]:
    """Return the final embeddings and what the hypergraph of each modality says of all nodes."""

    def membership(logits: Tensor) -> Tensor:
        if generator is None:
            return torch.softmax(logits / 0.2, dim=1)
        noise = -torch.empty(logits.shape).exponential_(generator=generator).log()
        keep = torch.rand(logits.shape, generator=generator) >= 0.5
        return torch.softmax((logits + noise) / 0.2, dim=1) * keep * 2

    has = torch.from_numpy(small.train).double()  # [users, items]
    final = collaborative = small.lightgcn(w["nodes"], 2)
    hypergraphs = []
    for m, name in enumerate(("image", "text")):
        own = small.values(name) @ w[f"transforms.{m}"]
        users = has @ own / has.sum(1, keepdim=True).clamp(min=1)
        local = torch.matrix_power(small.adjacency, 2) @ torch.cat([users, own])
        final = final + F.normalize(local, dim=1)
        logits = small.values(name) @ w[f"hyperedges.{m}"]
        of_users, of_items = membership(has @ logits), membership(logits)
        passed = collaborative[5:]
        for _ in range(2):
            edges = of_items.T @ passed
            passed = of_items @ edges
        hypergraphs.append(torch.cat([of_users @ edges, passed]))
    return final + 0.3 * F.normalize(sum(hypergraphs), dim=1), hypergraphs


def test_equals_the_equations(gappy) -> None:
    config = LGMRecConfig(**SETTINGS, hyperedge_layers=2, regularization=0.1)
    module = gappy.filled(LGMRecModule(gappy.interactions, gappy.features, config))
    batch = gappy.batch

    def by_hand(w: dict[str, Tensor]) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        e, (image, text) = embeddings_by_hand(gappy, w, generator)
        loss = torch.zeros((), dtype=torch.float64)
        for u, i, j in zip(*(part.flatten().tolist() for part in batch), strict=True):
            user, liked, other = e[u], e[5 + i], e[5 + j]
            loss = loss - torch.log(torch.sigmoid(user @ liked - user @ other)) / 5
            loss = loss + 0.1 / 2 * sum(x @ x for x in (user, liked, other)) / 5
            for row, nodes in ((u, slice(0, 5)), (5 + i, slice(5, 12))):
                cosines = F.normalize(text, dim=1) @ F.normalize(image[row], dim=0)
                chances = torch.exp(cosines / 0.2)
                loss = loss - 1e-2 * torch.log(chances[row] / chances[nodes].sum())
        return loss

    loss = module.loss(batch, torch.Generator().manual_seed(3))
    gappy.agree(module, loss, by_hand)


def test_scores_without_noise(gappy) -> None:
    config = LGMRecConfig(**SETTINGS, hyperedge_layers=2)
    module = gappy.filled(LGMRecModule(gappy.interactions, gappy.features, config))
    weights = {name: weight.detach().double() for name, weight in module.named_parameters()}
    expected, _ = embeddings_by_hand(gappy, weights, None)
    assert torch.allclose(torch.cat(module.embeddings()).double(), expected, atol=1e-5)
    module.sampler = ByHop(ByHop.config_class(), all_in_training(gappy.train))
    hops = module.view(module.nodes).hops
    assert len(hops) == 3
    assert torch.allclose(torch.stack(tuple(hops)).mean(0).double(), expected, atol=1e-5)


class ByHop(Uniform):
    """Uniform sampling that asks for embeddings hop by hop."""

    by_hop = True

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        assert view.items_by_hop(batch.negatives).shape == (5, 1, 3, 4)
        return super().choose(batch, view, generator)


def test_ranks_the_same_hop_by_hop(small) -> None:
    config = LGMRecConfig(**SETTINGS)
    module = small.filled(LGMRecModule(small.interactions, small.features, config))
    plain = module.loss(small.batch, torch.Generator().manual_seed(3))
    module.sampler = ByHop(ByHop.config_class(), all_in_training(small.train))
    by_hop = module.loss(small.batch, torch.Generator().manual_seed(3))
    assert abs(plain.item() - by_hop.item()) < 1e-6
