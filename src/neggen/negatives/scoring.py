"""Scores of many candidates a row, where no gradient is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neggen.data.sparse_tensor import sparse_csr
from neggen.negatives.lookup import look_up


def dot_products(queries: Tensor, tables: Sequence[Tensor], rows: Tensor) -> Tensor:
    """Return dot products of queries with rows of some tables; no gradient passes.

    On a CPU as the entries of a product of two matrices that a sparse pattern asks for, which looks
    up nothing into memory and takes a third of the time (``benchmarks/sampling.py``).

    Args:
        queries: float32 ``[batch, d]``.
        tables: each float32 ``[size, d]``.
        rows: of every table, int64 ``[batch, n]``.

    Returns:
        Scores ``[tables, batch, n]``.
    """
    queries = queries.detach()
    if queries.device.type != "cpu" or rows.shape[1] > len(tables[0]):
        # torch takes no pattern of more than all entries.
        found = [look_up(table.detach(), rows) for table in tables]
        return torch.stack([torch.einsum("bd,bnd->bn", queries, each) for each in found])
    size = (len(queries), len(tables[0]))
    counts = torch.arange(0, rows.numel() + 1, max(1, rows.shape[1]))
    wanted = sparse_csr(counts, rows.flatten(), torch.zeros(rows.numel()), size)
    products = [
        torch.sparse.sampled_addmm(wanted, queries, table.detach().T, beta=0.0) for table in tables
    ]
    return torch.stack([each.values() for each in products]).view(len(tables), *rows.shape)
