"""Rows of a table, with a gradient that costs little and sums in a fixed order."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def look_up(table: Tensor, rows: Tensor) -> Tensor:
    """Return ``table[rows]``, whose gradient adds up in the same order every time.

    That of indexing does not. On a CPU the gradient of ``index_select`` does, and is two to three
    times as fast as that of ``F.embedding``, with equal bits; on a GPU only the latter does.

    Args:
        table: ``[size, …]``.
        rows: int64, of any shape.

    Returns:
        The rows, shaped as ``rows`` with the rest of ``table``'s shape behind.
    """
    if table.is_cuda:
        found = F.embedding(rows, table[:, None].flatten(1))
    else:
        found = table.index_select(0, rows.flatten())
    return found.view(*rows.shape, *table.shape[1:])
