"""SRNS: remembered candidates, and of these hard ones whose score has wavered (NeurIPS 2020)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from neggen.data.dataset import Dataset
from neggen.negatives.base import Batch, ChosenConfig, Draw, Sampler
from neggen.negatives.view import View

PAST = 5
"""Past epochs whose scores are compared, as in the paper."""


class SRNSConfig(ChosenConfig):
    """Settings of SRNS; the defaults are those of the authors' script for MovieLens-1M."""

    memory: int = Field(8, ge=1)
    """S₁, how many items are remembered a user."""
    candidates: int = Field(64, ge=1)
    """S₂, how many unseen items are drawn a row that may enter the memory."""
    alpha: float = Field(5.0, ge=0)
    """α, how much the spread of past scores counts."""
    warmup: int = Field(50, ge=1)
    """T₀, the epochs over which α rises from 0."""
    temperature: float = Field(10.0, gt=0)
    """τ, how little it matters to the memory which items score high."""


class SRNS(Sampler):
    """Takes hard negatives that are likely true ones (Ding et al. 2020, arXiv 2009.03376).

    False negatives score high in every epoch; so, of the items k in the memory M_u of a user,

        argmax_k P_k + α min(1, t/T₀) std P_k,    P_k = σ(e_u · e_k − e_u · e_i),

    is taken in epoch t, from 0, for the positive i, where std is over the last five epochs. Then
    S₂ unseen items are drawn, and S₁ of these and M_u together, each once, become the new M_u, by
    chances ∝ exp(e_u · e_k / τ) without replacement (Gumbel noise and the S₁ highest; a user of
    several rows learns from the first). No gradient flows through the choice.

    Where the authors' code (github.com/dingjingtao/SRNS) keeps the scores of 3,000 random items a
    user for this, this keeps the embeddings of five epochs, from which the past score of any item
    follows. And there, memories point into sets that change with every epoch; here, as in the
    paper, they last.

    Memory: S₁ integers for every user, and 5 d numbers for every user and every item; a checkpoint
    holds them twice, now and at the best epoch. A step costs 7 S₁ + S₂ dot products of width d a
    row.
    """

    name = "srns"
    config_class = SRNSConfig
    sees_model = True
    config: SRNSConfig
    memory: Tensor  # int64 [users, S₁]
    past: Tensor  # [PAST, users + items, d], after which epoch does not matter

    def __init__(
        self, config: SRNSConfig, data: Dataset, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(config, data, device)
        self._users, self._items = (torch.arange(n, device=device) for n in data.shape)

    def prepare(self, dim: int, seed: int) -> None:
        """Fill the memory with unseen items, and make room for the past."""
        device = self._users.device
        generator = torch.Generator(device).manual_seed(seed)
        start = self.unseen(self._users, self.config.memory, generator)
        self.register_buffer("memory", start)
        nodes = len(self._users) + len(self._items)
        self.register_buffer("past", torch.zeros(PAST, nodes, dim, device=device))

    def begin_epoch(self, epoch: int) -> None:
        """Have the embeddings kept that the epoch starts with."""
        self._done, self._to_keep = epoch - 1, epoch > 1

    @torch.no_grad()
    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return one remembered item a row, and renew the memory."""
        if self._to_keep:
            kept = torch.cat([view.users(self._users), view.items(self._items)])
            self.past[(self._done - 1) % PAST] = kept
            self._to_keep = False
        held = self.memory[batch.users]  # [batch, S₁]
        compared = torch.cat([batch.positives[:, None], held], dim=1)  # [batch, 1 + S₁]
        value = _likely(view.scores(batch.users, compared))  # [batch, S₁]
        if self._done > 1:
            past = [View((each,), len(self._users)) for each in self.past[: self._done]]
            then = torch.stack([_likely(each.scores(batch.users, compared)) for each in past])
            weight = self.config.alpha * min(1.0, self._done / self.config.warmup)
            value = value + weight * then.std(0, correction=0)
        self._renew(batch, held, view, generator)
        return Draw(held.gather(1, value.argmax(1, keepdim=True)))

    def _renew(self, batch: Batch, held: Tensor, view: View, generator: torch.Generator) -> None:
        """Keep S₁ of the remembered and the drawn items; arguments as in :meth:`choose`."""
        pool = torch.cat([held, batch.negatives], dim=1).sort(1).values  # [batch, S₁ + S₂]
        again = pool.diff(dim=1, prepend=pool.new_full((len(pool), 1), -1)) == 0
        scores = view.scores(batch.users, pool) / self.config.temperature
        noise = -torch.empty_like(scores).exponential_(generator=generator).log()
        # Where fewer than S₁ differ, a memory holds some twice.
        best = (scores + noise).masked_fill(again, -torch.inf).topk(self.config.memory).indices
        rows = torch.arange(len(pool), device=pool.device)
        first = torch.full_like(self._users, len(pool))  # [users]
        first = first.scatter_reduce(0, batch.users, rows, "amin")
        self.memory[batch.users] = pool.gather(1, best)[first[batch.users]]


def _likely(scores: Tensor) -> Tensor:
    """Return P of items by their scores after that of a positive, ``[batch, 1 + k]`` to ``k``."""
    return torch.sigmoid(scores[:, 1:] - scores[:, :1])
