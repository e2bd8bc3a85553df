"""How models hand out and take back sparse patterns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor


def pack_csr(name: str, matrix: csr_matrix) -> dict[str, Tensor]:
    """Return the pattern of a 0/1 CSR matrix as two tensors."""
    return {
        f"{name}/indptr": torch.from_numpy(matrix.indptr.astype(np.int64)),
        f"{name}/indices": torch.from_numpy(matrix.indices.astype(np.int32)),
    }


def unpack_csr(
    name: str, tensors: Mapping[str, Tensor], columns: int, rows: int | None = None
) -> csr_matrix:
    """Rebuild the 0/1 float32 CSR matrix that :func:`pack_csr` took apart.

    Raises:
        ValueError: If it is no matrix with so many columns, and rows if they are given.
    """
    indptr, indices = (tensors[f"{name}/{part}"].cpu().numpy() for part in ("indptr", "indices"))
    ones = np.ones(len(indices), dtype=np.float32)
    shape = (len(indptr) - 1 if rows is None else rows, columns)
    matrix = csr_matrix((ones, indices, indptr), shape=shape)
    matrix.check_format()  # that no index lies beyond the columns, ValueError
    return matrix
