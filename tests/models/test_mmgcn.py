"""MMGCN against dense matrices, and against what its authors' code computes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from neggen.models.base import Recommender
from neggen.models.mmgcn import MMGCN, MMGCNConfig, MMGCNModule
from neggen.testing import RecommenderContract, checkerboard

USERS, ITEMS = 5, 7
CONFIG = MMGCNConfig(dim=4, latent=5, regularization=0.3)


class TestMMGCN(RecommenderContract):
    def model(self) -> Recommender:
        return MMGCN(content="descriptions", dim=16, latent=8, learning_rate=0.01, epochs=15)


def module_of(problem, config: MMGCNConfig = CONFIG) -> MMGCNModule:
    return problem.filled(MMGCNModule(problem.interactions, problem.features, config))


def final_by_hand(problem, weights: dict[str, torch.Tensor], layers: int) -> torch.Tensor:
    ties = torch.zeros(USERS + ITEMS, USERS + ITEMS, dtype=torch.float64)
    ties[:USERS, USERS:] = torch.from_numpy(problem.train)
    ties = ties + ties.T
    step = ties / ties.sum(1, keepdim=True).clamp(min=1)
    outputs = []
    for number, modality in enumerate(problem.features):
        own = {
            name.removeprefix(f"modalities.{number}."): weight for name, weight in weights.items()
        }
        items = problem.values(modality)
        if number == 0:
            items = items @ own["projection.weight"].T + own["projection.bias"]
        x = torch.cat([own["preferences"], items])
        x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)
        for layer in map(str, range(layers)):
            sent = F.leaky_relu(step @ x @ own[f"messages.{layer}.weight"].T)
            kept = F.leaky_relu(x @ own[f"selves.{layer}.weight"].T + own[f"selves.{layer}.bias"])
            both = torch.cat([sent, kept + weights["nodes"]], dim=1)
            x = both @ own[f"combinations.{layer}.weight"].T + own[f"combinations.{layer}.bias"]
            x = F.leaky_relu(x)
        outputs.append(x)
    return sum(outputs) / len(outputs)


def loss_by_hand(problem, final: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    nodes, penalties = weights["nodes"], []
    for u, i, j in problem.triples:
        for item in (i, j):
            penalties.append((nodes[u] ** 2 + nodes[USERS + item] ** 2).mean())
    preferences = [(weights[f"modalities.{m}.preferences"] ** 2).mean() for m in range(2)]
    penalty = torch.stack(penalties).mean() + sum(preferences)
    return problem.bpr(*final.split([USERS, ITEMS])) + 0.3 * penalty


@pytest.mark.parametrize("layers", [1, 3])
def test_loss_and_gradient_equal_the_dense_ones(layers: int, two_gaps) -> None:
    module = module_of(two_gaps, CONFIG.updated(layers=layers))

    def by_hand(w: dict[str, torch.Tensor]) -> torch.Tensor:
        final = final_by_hand(two_gaps, w, layers)
        assert torch.allclose(torch.cat(module.embeddings()).double(), final, atol=1e-5)
        return loss_by_hand(two_gaps, final, w)

    two_gaps.agree(module, module.loss(two_gaps.batch, torch.Generator()), by_hand, atol=1e-5)


def test_equals_the_authors_code(two_gaps) -> None:
    # github.com/weiyinwei/MMGCN (a643673) in its copy in github.com/enoche/MMRec (e775373),
    # src/models/mmgcn.py with dim_latent = 5: calculate_loss with these weights and
    # reg_weight = 0.3, plus 0.3 mean(p²) of the text's preferences, which it leaves out; before and
    # after a step of SGD on everything, preferences and ID embeddings included.
    module = module_of(two_gaps)
    losses = two_gaps.two_losses(
        module, lambda: module.loss(two_gaps.batch, torch.Generator()), rate=0.5
    )
    assert losses == pytest.approx([1.090312, 0.945790], abs=1e-5)


def test_embeddings_can_stay_as_drawn(two_gaps) -> None:
    config = {"content": "descriptions", "dim": 8, "latent": 4, "epochs": 2}
    data = checkerboard()
    model = MMGCN(train_embeddings=False, **config).fit(data)
    assert model.history["mmgcn"][-1].epoch == 2
    module = module_of(two_gaps, CONFIG.updated(train_embeddings=False))
    module.loss(two_gaps.batch, torch.Generator()).backward()
    still = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    assert still == {"nodes", "modalities.0.preferences", "modalities.1.preferences"}
