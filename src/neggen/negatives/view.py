"""The embeddings of a model as a loss and a sampler see them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from neggen.negatives.lookup import look_up
from neggen.negatives.scoring import dot_products


class View:
    """Embeddings of users followed by items, under the present weights.

    The final ones are the mean over hops. What models without propagation have is one hop, and so
    is what others show of themselves, unless a sampler looks hop by hop.

    What is looked up with a dense gradient is looked up by ``look_up``, whose gradient sums in a
    fixed order, unlike that of ``table[rows]``.
    """

    def __init__(
        self,
        hops: Sequence[Tensor],
        users: int,
        *,
        final: Tensor | None = None,
        sparse: bool = False,
    ) -> None:
        """Take the hops.

        Args:
            hops: embeddings after every number of hops, each ``[users + items, d]``.
            users: how many rows are users.
            final: their mean, where it is at hand.
            sparse: whether whatever made the hops takes sparse gradients of them.
        """
        if final is None:
            final = hops[0] if len(hops) == 1 else torch.stack(tuple(hops)).mean(0)
        self.hops, self.final = hops, final
        self._users, self._sparse = users, sparse

    def plus(self, added: Tensor) -> View:
        """Return what is seen once this, ``[users + items, d]``, is added at every hop."""
        final = self.final + added
        hops = (final,) if len(self.hops) == 1 else [hop + added for hop in self.hops]
        return View(hops, self._users, final=final)

    @cached_property
    def _side_by_side(self) -> Tensor:
        """All hops in one table, ``[users + items, hops · d]``."""
        if len(self.hops) == 1:
            return self.hops[0]
        with torch.enable_grad():  # whoever asks first, others may learn from it
            return torch.cat(tuple(self.hops), dim=1)

    def nodes(self, rows: Tensor) -> Tensor:
        """Return final embeddings of rows, users or items, int64 ``[…]`` to float ``[…, d]``."""
        return look_up(self.final, rows)

    def users(self, users: Tensor) -> Tensor:
        """Return final embeddings of users, int64 ``[…]`` to float ``[…, d]``."""
        return self.nodes(users)

    def users_by_hop(self, users: Tensor) -> Tensor:
        """Return embeddings of users hop by hop, int64 ``[…]`` to float ``[…, hops, d]``."""
        found = look_up(self._side_by_side, users)  # […, hops · d]
        return found.view(*users.shape, len(self.hops), -1)

    def items(self, items: Tensor) -> Tensor:
        """Return final embeddings of items, int64 ``[…]`` to float ``[…, d]``."""
        return self.nodes(items + self._users)

    def items_by_hop(self, items: Tensor) -> Tensor:
        """Return embeddings of items hop by hop, int64 ``[…]`` to float ``[…, hops, d]``."""
        return self.users_by_hop(items + self._users)

    def items_each_at_its_hop(self, items: Tensor) -> list[Tensor]:
        """Return items, each at one hop, int64 ``[hops, …]`` to ``[…, d]`` for every hop."""
        pairs = zip(self.hops, items + self._users, strict=True)
        if self._sparse:
            return [F.embedding(rows, hop, sparse=True) for hop, rows in pairs]
        return [look_up(hop, rows) for hop, rows in pairs]

    def scores(self, users: Tensor, items: Tensor) -> Tensor:
        """Return e_u · e_i without gradients, ``[batch]`` and ``[batch, n]`` to the latter."""
        return dot_products(self.users(users), (self.final,), items + self._users)[0]

    def scores_by_hop(self, users: Tensor, items: Tensor) -> Tensor:
        """Return e_u · e_i^(l) without gradients, ``[batch]``, ``[batch, n]`` to ``[hops, …]``."""
        return dot_products(self.users(users), self.hops, items + self._users)
