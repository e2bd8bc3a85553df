"""Dynamic negative sampling: of some unseen items, one that the model now scores high (2013)."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator

from neggen.errors import NegGenError
from neggen.negatives.base import Batch, ChosenConfig, Draw, Sampler
from neggen.negatives.view import View


class DNSConfig(ChosenConfig):
    """Settings of dynamic negative sampling."""

    candidates: int = Field(16, ge=1)
    """N, how many unseen items are drawn and scored for a positive."""
    top: int = Field(1, ge=1)
    """M, how many of the best of them the negative is drawn from; fewer are harder."""

    @model_validator(mode="after")
    def _top_is_among_candidates(self) -> Self:
        if self.top > self.candidates:
            raise NegGenError(
                f"DNS draws from the top {self.top} of {self.candidates} candidates, which are "
                f"fewer; lower top or raise candidates."
            )
        return self


class DNS(Sampler):
    """Draws uniformly from the M highest-scored of N uniformly drawn unseen items, DNS(M, N).

    With e under the present weights::

        C ~ uniform(unseen of u)^N,   j ~ uniform(the M of C with the highest e_u · e_j)

    With M = 1 it is DNS (Zhang et al. 2013, doi 10.1145/2484028.2484126); with other M the DNS(M,
    N) of Shi et al. 2023 (arXiv 2302.03472), whose M and N are ``top`` and ``candidates``. Their
    code sums the loss over all M, which is M times the expected loss of the one drawn here; its
    example is M = 2, N = 200. No gradient passes the choice. A step scores batch · N items.
    """

    name = "dns"
    config_class = DNSConfig
    config: DNSConfig
    sees_model = True

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        """Return one of the best-scored candidates of each row."""
        scores = view.scores(batch.users, batch.negatives)  # [batch, N]
        if self.config.top == 1:
            best = scores.argmax(1, keepdim=True)  # [batch, 1]; faster than topk
        else:
            best = scores.topk(self.config.top).indices  # [batch, M]
        which = torch.randint(
            self.config.top, (len(best), 1), generator=generator, device=best.device
        )
        return Draw(batch.negatives.gather(1, best.gather(1, which)))
