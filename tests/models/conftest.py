"""A small problem with two modalities, to compare modules with their equations on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.data.vectors import Features
from neggen.negatives.base import Batch

TRAIN = (
    (1, 1, 0, 0, 0, 1, 0),
    (1, 0, 1, 0, 0, 0, 0),
    (0, 0, 0, 1, 1, 0, 1),
    (0, 1, 0, 1, 0, 0, 1),
    (0, 0, 1, 0, 1, 0, 0),
)


@dataclass(frozen=True)
class Small:
    """Five users, seven items, image and text features, and a batch."""

    train: np.ndarray  # [users, items]
    features: dict[str, Features]
    batch: Batch

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

    @staticmethod
    def filled(module: nn.Module) -> nn.Module:
        """Give a module weights that do not depend on how it starts."""
        rng = np.random.default_rng(1)
        with torch.no_grad():
            for weight in module.parameters():
                weight.copy_(torch.from_numpy(rng.normal(0, 0.5, weight.shape)))
        return module

    @staticmethod
    def agree(
        module: nn.Module, loss: Tensor, by_hand: Callable[[dict[str, Tensor]], Tensor]
    ) -> None:
        """Compare a loss and all its gradients with what ``by_hand`` makes of the same weights."""
        weights = {
            name: weight.detach().double().requires_grad_()
            for name, weight in module.named_parameters()
        }
        expected = by_hand(weights)
        assert abs(loss.item() - expected.item()) < 1e-5
        loss.backward()
        expected.backward()
        for name, weight in module.named_parameters():
            gradient = weights[name].grad
            assert gradient is not None, f"{name} does not count by hand"
            assert torch.allclose(weight.grad.double(), gradient, atol=2e-6), name

    @staticmethod
    def two_losses(module: nn.Module, loss: Callable[[], Tensor]) -> tuple[float, float]:
        """Return the loss before and after a step of gradient descent by 0.1."""
        before = loss()
        before.backward()
        torch.optim.SGD(module.parameters(), lr=0.1).step()
        return before.item(), loss().item()


@pytest.fixture
def small() -> Small:
    rng = np.random.default_rng(0)
    has = np.ones(7, dtype=bool)
    image, text = (rng.normal(size=(7, width)).astype(np.float32) for width in (6, 3))
    drawn = torch.arange(5), torch.tensor([1, 0, 3, 6, 2]), torch.tensor([[3], [4], [5], [2], [0]])
    features = {"image": Features(image, has), "text": Features(text, has)}
    return Small(np.array(TRAIN, dtype=np.float32), features, Batch(*drawn))


@pytest.fixture
def gappy(small: Small) -> Small:
    """The same, but user 4 has nothing, item 5 nobody, item 1 no image; the batch repeats rows."""
    train, image = small.train.copy(), small.features["image"].values.copy()
    train[4], train[:, 5], image[1] = 0, 0, 0
    features = {**small.features, "image": Features(image, np.arange(7) != 1)}
    drawn = torch.tensor([0, 0, 2, 3, 3]), torch.tensor([1, 0, 3, 6, 1])
    return replace(
        small, train=train, features=features, batch=Batch(*drawn, small.batch.negatives)
    )
