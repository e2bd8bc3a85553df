"""Scores by the sparse product against those by definition."""

from __future__ import annotations

import pytest
import torch

from neggen.negatives.scoring import dot_products


@pytest.mark.parametrize("count", [1, 5, 11, 12])  # 11 is as many as the table has
def test_scores_are_dot_products(count: int) -> None:
    queries, tables = torch.randn(6, 4), torch.randn(3, 11, 4)
    rows = torch.randint(11, (6, count))
    found = dot_products(queries, tables.unbind(), rows)
    expected = [
        [[q @ table[r] for r in own] for q, own in zip(queries, rows, strict=True)]
        for table in tables
    ]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-6)


def test_no_rows_have_no_scores() -> None:
    rows = torch.empty(0, 5, dtype=torch.int64)
    assert dot_products(torch.empty(0, 4), (torch.randn(11, 4),), rows).shape == (1, 0, 5)


def test_no_gradient_passes() -> None:
    queries, table = torch.randn(6, 4).requires_grad_(), torch.randn(11, 4).requires_grad_()
    assert not dot_products(queries, (table,), torch.zeros(6, 2).long()).requires_grad
