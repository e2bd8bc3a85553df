"""The contract of samplers of negatives."""

from __future__ import annotations

from typing import Any
from unittest import SkipTest

import numpy as np
import polars as pl
import torch
from torch import Tensor

from neggen.data.dataset import Dataset
from neggen.negatives.base import Batch, Draw, Sampler
from neggen.negatives.view import View
from neggen.testing.refusal import refuses

WIDTH = 5
HOPS = 3


def all_in_training(dense: Any) -> Dataset:
    """Return data whose training part is a 0/1 matrix, ``[users, items]``, and nothing else.

    Everybody must have something; items that nobody has are in the catalogue all the same.
    """
    users, items = np.nonzero(dense)
    log = {"user_id": [f"u{n:04}" for n in users], "item_id": [f"i{n:04}" for n in items]}
    table = pl.DataFrame({"item_id": [f"i{n:04}" for n in range(np.shape(dense)[1])]})
    data = Dataset.from_frames(pl.DataFrame(log), table)
    return data.replace(parts=np.zeros(len(users), dtype=np.uint8))


def triples(users: Tensor, positives: Tensor, negatives: Tensor) -> Batch:
    """Return a batch with one negative each; all three are int64 ``[batch]``."""
    return Batch(users, positives, negatives[:, None])


class SamplerContract:
    """What holds for every sampler of negatives. Subclass it and provide :meth:`sampler`."""

    def sampler(self, data: Dataset, device: str = "cpu") -> Sampler:
        """Return a sampler for the training part of ``data``."""
        raise NotImplementedError

    def data(self) -> Dataset:
        """Return data to draw from; override it for a sampler that needs more than this.

        The last item is one that nobody has.
        """
        dense = np.random.default_rng(0).random((9, 14)) < 0.4
        dense[:, -1], dense[np.arange(9), np.arange(9)] = False, True
        dense[np.arange(9), np.arange(1, 10)] = False  # something is left for everybody
        return all_in_training(dense)

    def draw(
        self, data: Dataset, *, seed: int = 0, times: int = 40, device: str = "cpu"
    ) -> tuple[Batch, Draw, Tensor]:
        """Sample with a new sampler; see :meth:`draw_with`."""
        sampler = self.sampler(data, device)
        sampler.prepare(WIDTH, seed=0)
        return self.draw_with(sampler, data, seed=seed, times=times, device=device)

    def draw_with(
        self, sampler: Sampler, data: Dataset, *, seed: int, times: int, device: str = "cpu"
    ) -> tuple[Batch, Draw, Tensor]:
        """Sample for every interaction, ``times`` over; also return the embeddings looked at.

        These are ``[users + items, hops, d]`` and want gradients.
        """
        users, items = data.train.nonzero()
        users, items = (torch.from_numpy(each).long().repeat(times) for each in (users, items))
        users, items = users.to(device), items.to(device)
        by_hop = torch.randn(
            (sum(data.shape), HOPS, WIDTH), generator=torch.Generator().manual_seed(7)
        )
        by_hop = by_hop.to(device).requires_grad_()
        generator = torch.Generator(device).manual_seed(seed)
        sampler.begin_epoch(1)
        batch = Batch(users, items, sampler.propose(users, items, generator))
        view = View(by_hop.unbind(1), data.shape[0])
        return batch, sampler.choose(batch, view, generator), by_hop

    def test_negatives_are_items_that_the_user_has_not_and_somebody_has(self) -> None:
        """Whatever is proposed or taken is unseen, and known from training."""
        data = self.data()
        train = data.train.toarray()
        batch, draw, _ = self.draw(data)
        rows = batch.users[:, None]
        taken = draw.items.expand(len(rows), draw.items.shape[-1])
        allowed = torch.ones_like(taken, dtype=torch.bool) if draw.allowed is None else draw.allowed
        assert taken.dtype == torch.int64
        assert allowed.any(1).float().mean() > 0.5, "most rows should have a negative"
        users = rows.expand_as(taken)[allowed].numpy()
        assert not train[users, taken[allowed].numpy()].any()
        assert train[:, taken[allowed].numpy()].any(0).all()

    def test_has_the_shapes_it_says(self) -> None:
        """Negatives, their embeddings and their chances fit the batch."""
        batch, draw, _ = self.draw(self.data(), times=2)
        size, k = len(batch.users), draw.items.shape[-1]
        assert draw.items.shape in {(size, k), (k,)}
        if draw.embeddings is not None:
            assert draw.embeddings.shape == (*draw.items.shape, WIDTH)
        if draw.allowed is not None:
            assert draw.allowed.shape == (size, k)
        if draw.log_q is not None:
            assert draw.log_q.shape == draw.items.shape
            assert draw.positive_log_q is not None
            assert draw.positive_log_q.shape == (size,)

    def test_is_seeded_by_its_generator_alone(self) -> None:
        """The same generator draws the same, another one others; no global state is used."""
        data, state = self.data(), torch.get_rng_state()
        first, again, other = (self.draw(data, seed=seed)[:2] for seed in (1, 1, 2))
        assert first[0].negatives.equal(again[0].negatives)
        assert first[1].items.equal(again[1].items)
        same = first[0].negatives.equal(other[0].negatives) and first[1].items.equal(other[1].items)
        assert not same or first[1].items.dim() == 1, "a batch shared by all needs no chance"
        assert torch.get_rng_state().equal(state)

    def test_what_it_makes_up_can_be_learned_from(self) -> None:
        """Gradients of made-up embeddings reach the model."""
        _, draw, by_hop = self.draw(self.data(), times=1)
        if draw.embeddings is not None:
            draw.embeddings.square().sum().backward()  # type: ignore[no-untyped-call]
            assert by_hop.grad is not None
            assert by_hop.grad.abs().sum() > 0

    def test_what_it_remembers_is_saved(self) -> None:
        """A sampler that takes over the state of another goes on as that one would have."""
        data = self.data()
        one, other = self.sampler(data), self.sampler(data)
        one.prepare(WIDTH, seed=0)
        other.prepare(WIDTH, seed=1)
        self.draw_with(one, data, seed=1, times=2)
        other.load_state_dict(one.state_dict())
        (_, drawn, _), (_, again, _) = (
            self.draw_with(each, data, seed=2, times=2) for each in (one, other)
        )
        assert drawn.items.equal(again.items)
        if drawn.embeddings is not None:
            assert again.embeddings is not None
            assert drawn.embeddings.equal(again.embeddings)

    def test_refuses_a_user_with_nothing_left(self) -> None:
        """A user who has every item would make a sampler loop forever; it says so instead."""
        dense = np.eye(3, 4)
        dense[1] = 1
        with refuses("User number 1", "all 4 items"):
            self.sampler(all_in_training(dense))

    def test_works_on_cuda(self) -> None:
        """Everything stays on the device."""
        if not torch.cuda.is_available():
            raise SkipTest("needs a CUDA device")
        batch, draw, _ = self.draw(self.data(), device="cuda")
        assert batch.negatives.is_cuda
        assert draw.items.is_cuda
