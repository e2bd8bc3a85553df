"""A mixture of samplers: every row's negatives come from one of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor, nn

from neggen.config import Named
from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.negatives import sampler_config
from neggen.negatives.base import Batch, Draw, Sampler, SamplerConfig
from neggen.negatives.view import View


class MixtureConfig(SamplerConfig):
    """Settings of a mixture."""

    parts: tuple[Named, ...] = Field(min_length=1)
    """The samplers, each by name and with its settings."""
    weights: tuple[PositiveFloat, ...] = ()
    """How often each is drawn from, relative to the others; none given is equally often."""

    @cached_property
    def built(self) -> tuple[tuple[type[Sampler], SamplerConfig], ...]:
        """The classes and the settings of the parts."""
        found = []
        for number, part in enumerate(self.parts, start=1):
            try:
                found.append(sampler_config(part))
            except NegGenError as error:
                raise NegGenError(f"In part {number} of the mixture: {error}") from None
        return tuple(found)

    @property
    def count(self) -> int:
        """How many negatives a positive gets."""
        return self.built[0][1].count

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.weights and len(self.weights) != len(self.parts):
            raise NegGenError(
                f"The mixture has {len(self.parts)} parts but {len(self.weights)} weights; give "
                f"one weight for each part."
            )
        for number, (cls, settings) in enumerate(self.built, start=1):
            looks = any(each.sees_model for each in cls.made_of(settings))
            if settings.count != (1 if looks else self.count):
                raise NegGenError(
                    f"Part {number} of the mixture, '{cls.name}', does not fit: all parts must give"
                    f" a positive equally many negatives, and one if they choose by the model."
                )
        return self


class Mixture(Sampler):
    """Draws the negatives of a row from one of several samplers.

    With q_p the sampler p::

        j ~ q_p(· | u, i)   p ~ categorical(weights)

    This is ours, to ask what a share of easier or of generated negatives is worth. Where a part
    makes embeddings up, those of items stand for the draws of the others. The log q of a row is
    that of its part: given p, the row's softmax is corrected as if p alone had drawn. The penalty
    of a part counts by its weight. A step costs what the parts cost together, since all draw for
    every row.
    """

    name = "mixture"
    config_class = MixtureConfig
    config: MixtureConfig
    ahead = False  # what a batch drew is remembered until it is chosen

    def __init__(self, config: Any, data: Dataset, device: torch.device | str = "cpu") -> None:
        """See :class:`Sampler`."""
        super().__init__(config, data, device)
        self._parts = [cls(settings, data, device) for cls, settings in self.config.built]
        self.parts = nn.ModuleList(self._parts)
        self.by_hop = any(part.by_hop for part in self._parts)
        self._looks = any(each.sees_model for each in self.made_of(self.config))
        weights = torch.tensor(self.config.weights or [1.0] * len(self._parts))
        self._weights = (weights / weights.sum()).tolist()
        self._bounds = (weights.cumsum(0) / weights.sum())[:-1].to(device)  # [parts − 1]

    @classmethod
    def made_of(cls, config: Any) -> list[type[Sampler]]:
        """Return what draws: the parts, and theirs."""
        return [each for part, settings in config.built for each in part.made_of(settings)]

    def prepare(self, dim: int, seed: int) -> None:
        """Prepare all parts."""
        for part in self._parts:
            part.prepare(dim, seed)

    def begin_epoch(self, epoch: int) -> None:
        """Tell all parts."""
        for part in self._parts:
            part.begin_epoch(epoch)

    def propose(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a part for every row, and remember it for ``choose``.

        Returns:
            What the parts propose, int64 ``[batch, count]``; if some choose by the model, the
            candidates of all parts side by side, ``[batch, sum of candidates]``.
        """
        share = torch.rand(len(users), generator=generator, device=users.device)
        self._part = torch.searchsorted(self._bounds, share, right=True)  # [batch]
        proposed = [part.propose(users, positives, generator) for part in self._parts]
        if not self._looks:
            return self._pick(proposed)
        self._widths = [each.shape[1] for each in proposed]
        return torch.cat(proposed, dim=1)

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return for every row what its part, drawn in ``propose``, chooses."""
        proposed = [batch.negatives] * len(self._parts)
        if self._looks:
            proposed = list(torch.split(batch.negatives, self._widths, dim=1))
        draws = [
            part.choose(batch._replace(negatives=own), view, generator)
            for part, own in zip(self._parts, proposed, strict=True)
        ]
        embeddings = allowed = log_q = positive_log_q = None
        if any(draw.embeddings is not None for draw in draws):
            embeddings = self._pick(
                [view.items(d.items) if d.embeddings is None else d.embeddings for d in draws]
            )
        if any(draw.allowed is not None for draw in draws):
            every = torch.ones_like(draws[0].items, dtype=torch.bool)
            allowed = self._pick([every if d.allowed is None else d.allowed for d in draws])
        if any(draw.log_q is not None for draw in draws):
            same = torch.zeros_like(draws[0].items, dtype=torch.float32)
            log_q = self._pick([same if d.log_q is None else d.log_q for d in draws])
            positive_log_q = self._pick(
                [same[:, 0] if d.positive_log_q is None else d.positive_log_q for d in draws]
            )
        penalties = [
            weight * draw.penalty
            for weight, draw in zip(self._weights, draws, strict=True)
            if draw.penalty is not None
        ]
        return Draw(
            items=self._pick([draw.items for draw in draws]),
            embeddings=embeddings,
            allowed=allowed,
            log_q=log_q,
            positive_log_q=positive_log_q,
            penalty=sum(penalties, torch.zeros(())) if penalties else None,
        )

    def _pick(self, values: list[Tensor]) -> Tensor:
        """Return of tensors ``[batch, …]``, one a part, each row from the part drawn for it."""
        picked = values[0]
        for part, other in enumerate(values[1:], start=1):
            its = (self._part == part).view(-1, *[1] * (other.dim() - 1))
            picked = torch.where(its, other, picked)
        return picked
