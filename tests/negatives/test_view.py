"""What a view of embeddings keeps between those who look at it."""

from __future__ import annotations

import torch

from neggen.negatives.view import View


def test_hops_looked_at_without_gradients_still_pass_them_later() -> None:
    hops = [torch.randn(5, 2).requires_grad_() for _ in range(2)]
    view = View(hops, 2)
    with torch.no_grad():
        assert not view.items_by_hop(torch.tensor([0])).requires_grad
    view.items_by_hop(torch.tensor([1])).sum().backward()
    assert all(hop.grad is not None and hop.grad[3].eq(1).all() for hop in hops)
