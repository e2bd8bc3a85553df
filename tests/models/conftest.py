"""Small problems with two modalities, to compare modules with their equations on."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.data.vectors import Features
from neggen.models.base import FitContext, Recommender
from neggen.models.item_graphs import nearest_graph
from neggen.negatives.base import Batch
from neggen.testing import checkerboard
from neggen.training.loop import EpochLog

USERS, ITEMS = 5, 7

TRAIN = (
    (1, 1, 0, 0, 0, 1, 0),
    (1, 0, 1, 0, 0, 0, 0),
    (0, 0, 0, 1, 1, 0, 1),
    (0, 1, 0, 1, 0, 0, 1),
    (0, 0, 1, 0, 1, 0, 0),
)


@dataclass(frozen=True)
class Problem:
    """Five users, seven items, image and text features, and a batch."""

    train: np.ndarray  # [users, items]
    features: dict[str, Features]
    batch: Batch
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    """What weights are drawn from, the same ones for every module."""

    @property
    def interactions(self) -> csr_matrix:
        return csr_matrix(self.train)

    @property
    def adjacency(self) -> Tensor:
        """The normalized user-item graph as a dense matrix, ``[users + items] * 2``."""
        users, items = self.train.shape
        whole = np.zeros((users + items, users + items))
        whole[:users, users:], whole[users:, :users] = self.train, self.train.T
        scale = np.maximum(whole.sum(1), 1) ** -0.5
        return torch.from_numpy(scale[:, None] * whole * scale)

    def lightgcn(self, first: Tensor, layers: int) -> Tensor:
        hops = [torch.matrix_power(self.adjacency, hop) @ first for hop in range(layers + 1)]
        return torch.stack(hops).mean(0)

    def values(self, modality: str) -> Tensor:
        return torch.from_numpy(self.features[modality].values).double()

    def lacking(self, present: int) -> Problem:
        """The same, but the items from ``present`` on have no features."""
        mask = np.arange(ITEMS) < present
        features = {
            name: Features(given.values * mask[:, None], mask)
            for name, given in self.features.items()
        }
        return replace(self, features=features)

    def filled(self, module: nn.Module, but: str | None = None) -> nn.Module:
        """Give a module, all ``but`` one part, weights that do not depend on how it starts."""
        rng = deepcopy(self.rng)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if but is None or not name.startswith(but):
                    weight.copy_(torch.from_numpy(rng.normal(0, 0.5, weight.shape)))
        return module

    def with_graphs(self, module_class: Callable[..., nn.Module], config: Any) -> nn.Module:
        """Make a module that takes graphs of like items, and fill all but its features."""
        graphs = {
            name: nearest_graph(given, config.neighbors, "cpu")
            for name, given in self.features.items()
        }
        module = module_class(self.interactions, graphs, self.features, config)
        return self.filled(module, but="features")

    @staticmethod
    def nearest(rows: Tensor) -> Tensor:
        """The cosines of every row and the three nearest ones, itself among them, else 0."""
        unit = rows / rows.norm(dim=1, keepdim=True)
        cosines = unit @ unit.T
        ties = torch.zeros_like(cosines, dtype=torch.bool)
        for item in range(len(rows)):
            ties[item, cosines[item].argsort(descending=True)[:3]] = True
        return torch.where(ties, cosines, 0)

    @staticmethod
    def normalized(ties: Tensor) -> Tensor:
        scale = ties.sum(1).rsqrt()
        return scale[:, None] * ties * scale

    @property
    def triples(self) -> list[tuple[int, int, int]]:
        """User, positive and negative of every row of the batch."""
        return list(zip(*(part.flatten().tolist() for part in self.batch), strict=True))

    def bpr(self, users: Tensor, items: Tensor, regularization: float = 0.0) -> Tensor:
        """BPR of the batch plus ½λ of the squared lengths, by embeddings ``[…, d]``."""
        total = torch.zeros((), dtype=torch.float64)
        for u, i, j in self.triples:
            squares = sum(row @ row for row in (users[u], items[i], items[j]))
            total = total - F.logsigmoid(users[u] @ (items[i] - items[j]))
            total = total + regularization / 2 * squares
        return total / len(self.batch.users)

    @staticmethod
    def agree(
        module: nn.Module,
        loss: Tensor,
        by_hand: Callable[[dict[str, Tensor]], Tensor],
        atol: float = 2e-6,
        rtol: float = 1e-5,
    ) -> None:
        """Compare a loss and all its gradients with what ``by_hand`` makes of the same weights."""
        weights = {
            name: weight.detach().double().requires_grad_()
            for name, weight in module.named_parameters()
        }
        expected = by_hand(weights)
        assert loss.item() == pytest.approx(expected.item(), rel=atol, abs=atol)
        loss.backward()
        expected.backward()
        for name, weight in module.named_parameters():
            gradient = weights[name].grad
            assert gradient is not None, f"{name} does not count by hand"
            assert torch.allclose(weight.grad.double(), gradient, rtol, atol), name

    @staticmethod
    def losses(
        module: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float
    ) -> list[float]:
        """Return the loss before each of some steps of gradient descent."""
        found = []
        for _ in range(steps):
            module.zero_grad()
            found.append(loss())
            found[-1].backward()
            torch.optim.SGD(module.parameters(), lr=rate).step()
        return [each.item() for each in found]

    @staticmethod
    def two_losses(module: nn.Module, loss: Callable[[], Tensor], rate: float = 0.1) -> list[float]:
        """Return the loss before and after a step of gradient descent."""
        return Problem.losses(module, loss, 2, rate)


@pytest.fixture
def small() -> Problem:
    rng = np.random.default_rng(0)
    has = np.ones(7, dtype=bool)
    image, text = (rng.normal(size=(7, width)).astype(np.float32) for width in (6, 3))
    drawn = torch.arange(5), torch.tensor([1, 0, 3, 6, 2]), torch.tensor([[3], [4], [5], [2], [0]])
    features = {"image": Features(image, has), "text": Features(text, has)}
    return Problem(np.array(TRAIN, dtype=np.float32), features, Batch(*drawn))


@pytest.fixture
def gappy(small: Problem) -> Problem:
    """The same, but user 4 has nothing, item 5 nobody, item 1 no image; the batch repeats rows."""
    train, image = small.train.copy(), small.features["image"].values.copy()
    train[4], train[:, 5], image[1] = 0, 0, 0
    features = {**small.features, "image": Features(image, np.arange(7) != 1)}
    drawn = torch.tensor([0, 0, 2, 3, 3]), torch.tensor([1, 0, 3, 6, 1])
    return replace(
        small, train=train, features=features, batch=Batch(*drawn, small.batch.negatives)
    )


@pytest.fixture
def linked() -> Problem:
    """Everybody has item 0 and user 0 everything; no cosine of features is negative."""
    return _linked(np.random.Generator.random)


@pytest.fixture
def linked_signed() -> Problem:
    """The same with features of either sign."""
    return _linked(np.random.Generator.normal)


def _linked(draw: Callable[..., np.ndarray]) -> Problem:
    rng, features = np.random.default_rng(0), {}
    train = (rng.random((USERS, ITEMS)) < 0.5).astype(np.float32)
    train[0], train[:, 0] = 1, 1
    for name, width in (("image", 6), ("text", 3)):
        rows = draw(rng, size=(ITEMS, width)).astype(np.float32)
        features[name] = Features(rows, np.ones(ITEMS, dtype=bool))
    drawn = [torch.from_numpy(rng.integers(0, high, 6)) for high in (USERS, ITEMS, ITEMS)]
    return Problem(train, features, Batch(drawn[0], drawn[1], drawn[2][:, None]))


@pytest.fixture
def two_gaps() -> Problem:
    """Item 2 lacks a picture, and item 6 users."""
    rng, features = np.random.default_rng(0), {}
    train = (rng.random((USERS, ITEMS)) < 0.5).astype(np.float32)
    train[:, 0], train[:, 6] = 1, 0
    for name, width in (("image", 3), ("text", 6)):
        rows = rng.normal(size=(ITEMS, width)).astype(np.float32)
        rows[2] *= name != "image"
        features[name] = Features(rows, rows.any(axis=1))
    batch = torch.tensor([[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 0, 4], [3, 5, 4, 1, 2, 1]])
    return Problem(train, features, Batch(batch[0], batch[1], batch[2][:, None]), rng)


@pytest.fixture
def resumed_and_whole(tmp_path: Path) -> Callable[..., tuple[Recommender, Recommender]]:
    """Fit a model twice: once stopped after its fourth epoch and resumed, and once undisturbed."""

    class Interruption(Exception):
        pass

    def interrupt(phase: str, log: EpochLog) -> None:
        if log.epoch == 4:
            raise Interruption

    def fitted(model_class: type[Recommender], **settings: Any) -> tuple[Recommender, Recommender]:
        settings |= {"content": "descriptions", "dim": 4, "epochs": 6, "evaluate_every": 1}
        settings["checkpoint_seconds"] = 0
        data = checkerboard()
        with pytest.raises(Interruption):
            model_class(**settings).fit(data, FitContext(tmp_path, interrupt))
        resumed = model_class(**settings).fit(data, FitContext(tmp_path))
        return resumed, model_class(**settings).fit(data)

    return fitted
