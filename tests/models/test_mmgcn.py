"""MMGCN against dense matrices, and against what its authors' code computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix

from neggen.data.vectors import Features
from neggen.models.base import Recommender
from neggen.models.mmgcn import MMGCN, MMGCNConfig, MMGCNModule
from neggen.negatives.base import Batch
from neggen.testing import RecommenderContract, checkerboard

USERS, ITEMS = 5, 7
CONFIG = MMGCNConfig(dim=4, latent=5, regularization=0.3)


class TestMMGCN(RecommenderContract):
    def model(self) -> Recommender:
        return MMGCN(content="descriptions", dim=16, latent=8, learning_rate=0.01, epochs=15)


def problem(config: MMGCNConfig = CONFIG) -> tuple[np.ndarray, MMGCNModule, Batch]:
    """Return interactions, a module with fixed weights, and a batch.

    Item 2 lacks a picture, item 6 users.
    """
    rng = np.random.default_rng(0)
    train = (rng.random((USERS, ITEMS)) < 0.5).astype(np.float32)
    train[:, 0], train[:, 6] = 1, 0
    features = {}
    for name, width in (("image", 3), ("text", 6)):
        rows = rng.normal(size=(ITEMS, width)).astype(np.float32)
        rows[2] *= name != "image"
        features[name] = Features(rows, rows.any(axis=1))
    module = MMGCNModule(csr_matrix(train), features, config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape) / 2))
    batch = torch.tensor([[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 0, 4], [3, 5, 4, 1, 2, 1]])
    return train, module, Batch(batch[0], batch[1], batch[2][:, None])


def final_by_hand(
    train: np.ndarray, module: MMGCNModule, weights: dict[str, torch.Tensor]
) -> torch.Tensor:
    ties = torch.zeros(USERS + ITEMS, USERS + ITEMS, dtype=torch.float64)
    ties[:USERS, USERS:] = torch.from_numpy(train)
    ties = ties + ties.T
    step = ties / ties.sum(1, keepdim=True).clamp(min=1)
    outputs = []
    for number, modality in enumerate(module.modalities):
        own = {
            name.removeprefix(f"modalities.{number}."): weight for name, weight in weights.items()
        }
        items = modality._features.double()
        if number == 0:
            items = items @ own["projection.weight"].T + own["projection.bias"]
        x = torch.cat([own["preferences"], items])
        x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)
        for layer in map(str, range(len(modality.messages))):
            sent = F.leaky_relu(step @ x @ own[f"messages.{layer}.weight"].T)
            kept = F.leaky_relu(x @ own[f"selves.{layer}.weight"].T + own[f"selves.{layer}.bias"])
            both = torch.cat([sent, kept + weights["nodes"]], dim=1)
            x = both @ own[f"combinations.{layer}.weight"].T + own[f"combinations.{layer}.bias"]
            x = F.leaky_relu(x)
        outputs.append(x)
    return sum(outputs) / len(outputs)


def loss_by_hand(
    train: np.ndarray, module: MMGCNModule, weights: dict[str, torch.Tensor], batch: Batch
) -> torch.Tensor:
    final, nodes = final_by_hand(train, module, weights), weights["nodes"]
    losses, penalties = [], []
    for u, i, j in zip(*(part.flatten().tolist() for part in batch), strict=True):
        margin = final[u] @ final[USERS + i] - final[u] @ final[USERS + j]
        losses.append(-torch.log(torch.sigmoid(margin)))
        for item in (i, j):
            penalties.append((nodes[u] ** 2 + nodes[USERS + item] ** 2).mean())
    preferences = [(weights[f"modalities.{m}.preferences"] ** 2).mean() for m in range(2)]
    return torch.stack(losses).mean() + 0.3 * (torch.stack(penalties).mean() + sum(preferences))


@pytest.mark.parametrize("layers", [1, 3])
def test_loss_and_gradient_equal_the_dense_ones(layers: int) -> None:
    train, module, batch = problem(CONFIG.updated(layers=layers))
    weights = {n: p.detach().double().requires_grad_() for n, p in module.named_parameters()}
    users, items = module.embeddings()
    expected_final = final_by_hand(train, module, weights)
    assert torch.allclose(torch.cat([users, items]).double(), expected_final, atol=1e-5)
    loss = module.loss(batch, torch.Generator())
    expected = loss_by_hand(train, module, weights, batch)
    assert abs(loss.item() - expected.item()) < 1e-5
    loss.backward()
    expected.backward()
    for name, parameter in module.named_parameters():
        assert torch.allclose(parameter.grad.double(), weights[name].grad, atol=1e-5), name


def test_equals_the_authors_code() -> None:
    # github.com/weiyinwei/MMGCN (a643673) in its copy in github.com/enoche/MMRec (e775373),
    # src/models/mmgcn.py with dim_latent = 5: calculate_loss with these weights and
    # reg_weight = 0.3, plus 0.3 mean(p²) of the text's preferences, which it leaves out; before and
    # after a step of SGD on everything, preferences and ID embeddings included.
    _, module, batch = problem()
    loss = module.loss(batch, torch.Generator())
    loss.backward()
    torch.optim.SGD(module.parameters(), lr=0.5).step()
    assert loss.item() == pytest.approx(1.090312, abs=1e-5)
    assert module.loss(batch, torch.Generator()).item() == pytest.approx(0.945790, abs=1e-5)


def test_embeddings_can_stay_as_drawn() -> None:
    config = {"content": "descriptions", "dim": 8, "latent": 4, "epochs": 2}
    data = checkerboard()
    model = MMGCN(train_embeddings=False, **config).fit(data)
    assert model.history["mmgcn"][-1].epoch == 2
    _, module, batch = problem(CONFIG.updated(train_embeddings=False))
    module.loss(batch, torch.Generator()).backward()
    still = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    assert still == {"nodes", "modalities.0.preferences", "modalities.1.preferences"}
