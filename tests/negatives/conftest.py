"""A problem small enough to compute by hand: 4 users, 6 items, embeddings of width 3."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from neggen.config import LightGCNConfig, MFConfig
from neggen.data.dataset import Dataset
from neggen.models.lightgcn import LightGCNModule
from neggen.models.mf import MFModule
from neggen.negatives.base import Batch, Sampler
from neggen.testing import all_in_training

DENSE = [
    [1, 1, 0, 0, 0, 0],
    [0, 1, 1, 1, 0, 0],
    [0, 0, 0, 1, 1, 0],
    [1, 0, 0, 0, 0, 1],
]


@dataclass(frozen=True)
class Tiny:
    """The data, a batch, and a step of training."""

    data: Dataset = field(default_factory=lambda: all_in_training(np.array(DENSE)))

    @property
    def batch(self) -> Batch:
        """One row a user, with three candidates each."""
        candidates = [[2, 3, 5], [0, 4, 5], [0, 1, 5], [1, 2, 4]]
        return Batch(torch.arange(4), torch.tensor([0, 2, 4, 5]), torch.tensor(candidates))

    @property
    def nodes(self) -> Tensor:
        """Layer-0 embeddings of users and items, ``[10, 3]``."""
        return torch.sin(1.7 * torch.arange(1, 31)).view(10, 3)

    def module(self, layers: int) -> MFModule:
        """Return MF (no layer) or LightGCN with these embeddings, unregularized."""
        none = {"dim": 3, "regularization": 0.0}
        module = MFModule(self.data.train, MFConfig(**none))
        if layers:
            module = LightGCNModule(self.data.train, LightGCNConfig(layers=layers, **none))
        module.nodes.data = self.nodes
        return module

    def step(self, sampler: Sampler, layers: int, *, epoch: int = 1) -> tuple[float, Tensor]:
        """Return the loss of the batch and its gradient by the embeddings, ``[10, 3]``.

        Parameters of the sampler are set to cosines; its gradients are left in it.
        """
        module = self.module(layers)
        module.sampler = sampler
        sampler.prepare(3, seed=0)
        for parameter in sampler.parameters():
            parameter.data = torch.cos(torch.arange(parameter.numel())).view(parameter.shape)
        sampler.begin_epoch(epoch)
        loss = module.loss(self.batch, torch.Generator().manual_seed(3))
        loss.backward()
        assert module.nodes.grad is not None
        return loss.item(), module.nodes.grad


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()
