"""The contract of samplers of negatives."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.testing.refusal import refuses


class Sampler(Protocol):
    """What a sampler of negatives does."""

    def sample(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """Return one item for each internal user, int64 ``[batch]`` to int64 ``[batch]``."""


class SamplerContract:
    """What holds for every sampler of negatives. Subclass it and provide :meth:`sampler`."""

    def sampler(self, train: csr_matrix) -> Sampler:
        """Return a sampler for the training interactions, 0/1 CSR ``[users, items]``."""
        raise NotImplementedError

    def _draw(self, dense: Any, seed: int = 0, times: int = 400) -> tuple[Tensor, Tensor]:
        users = torch.arange(len(dense)).repeat(times)  # [users * times]
        sampler = self.sampler(csr_matrix(dense))
        return users, sampler.sample(users, torch.Generator().manual_seed(seed))

    def test_draws_unseen_items_and_only_those(self) -> None:
        """Every unseen item of every user can be drawn, and nothing else."""
        rng = np.random.default_rng(0)
        for density in (0.0, 0.1, 0.5, 0.9):
            dense = (rng.random((9, 12)) < density).astype(np.float32)
            dense[np.arange(9), rng.integers(0, 12, 9)] = 0  # something is left for everybody
            users, items = self._draw(dense)
            assert items.dtype == torch.int64
            assert items.shape == users.shape
            drawn = np.zeros_like(dense, dtype=bool)
            drawn[users.numpy(), items.numpy()] = True
            assert (drawn == (dense == 0)).all()

    def test_is_seeded_by_its_generator_alone(self) -> None:
        """The same generator draws the same items, another one others; no global state is used."""
        dense = np.eye(8, 30, dtype=np.float32)
        state = torch.get_rng_state()
        first, again, other = (self._draw(dense, seed)[1] for seed in (1, 1, 2))
        assert first.equal(again)
        assert not first.equal(other)
        assert torch.get_rng_state().equal(state)

    def test_refuses_a_user_with_nothing_left(self) -> None:
        """A user who has every item would make a sampler loop forever; it says so instead."""
        dense = np.zeros((3, 4), dtype=np.float32)
        dense[1] = 1
        with refuses("User number 1", "all 4 items"):
            self.sampler(csr_matrix(dense))
