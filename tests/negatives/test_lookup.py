"""Rows of a table: the same as by indexing, with the gradient of F.embedding to the bit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neggen.negatives.lookup import look_up

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    ),
]


def gradient(looked_up: Tensor, table: Tensor) -> Tensor:
    weights = torch.arange(looked_up.numel(), device=table.device).sin().view(looked_up.shape)
    (found,) = torch.autograd.grad((looked_up * weights).sum(), table)
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rest", [(), (8,), (3, 8)])
@pytest.mark.parametrize("shape", [(0,), (500,), (20, 7), (4, 5, 6)])
def test_it_is_indexing(device: str, rest: tuple[int, ...], shape: tuple[int, ...]) -> None:
    table = torch.randn(30, *rest, device=device)
    rows = torch.randint(30, shape, device=device)
    assert torch.equal(look_up(table, rows), table[rows])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("threads", [1, 2])
def test_its_gradient_has_the_bits_of_an_embedding(device: str, threads: int) -> None:
    table = torch.randn(1000, 64, device=device, requires_grad=True)
    rows = torch.randint(50, (4096, 3), device=device)  # every row some 250 times
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        first, *others = [gradient(look_up(table, rows), table) for _ in range(3)]
    finally:
        torch.set_num_threads(before)
    expected = gradient(F.embedding(rows, table), table)
    assert torch.equal(first, expected)
    assert all(torch.equal(first, other) for other in others)
