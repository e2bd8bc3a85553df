"""Sparse tensors, built without what torch says of them in passing."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


def sparse_csr(indptr: Tensor, indices: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return a sparse CSR tensor ``[rows, columns]`` of its parts, unchecked.

    Args:
        indptr: where the entries of each row begin, and the end, ``[rows + 1]``.
        indices: the columns, of the same integer type, ``[entries]``; a pattern that is only looked
            at may hold a column twice and in any order.
        values: ``[entries]``, on the same device.
        shape: ``(rows, columns)``.
    """
    with warnings.catch_warnings():
        # torch tells every process that CSR tensors are in beta, and some versions that invariants
        # go unchecked even when told so.
        warnings.filterwarnings("ignore", "Sparse (CSR tensor|invariant)", UserWarning)
        return torch.sparse_csr_tensor(indptr, indices, values, size=shape, check_invariants=False)
