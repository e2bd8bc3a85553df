"""Several processes that train one model, as torchrun starts them.

Every process holds the whole model, draws the same batches from the same generator, and computes
its share of each: some rows where the loss is a mean over rows, otherwise the whole batch. The
gradients are added up, the users of a validation are divided, and all take the same decisions; the
first process alone writes. So the result does not depend on how many there are, up to rounding.

Without torchrun, nothing here does anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.errors import NegGenError
from neggen.evaluation.ranking import Scorer, evaluate_ranking
from neggen.negatives.base import Batch

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for another one; longer than the slowest work between two meetings."""


@contextmanager
def joined(device: str, timeout: timedelta = TIMEOUT) -> Iterator[bool]:
    """Join the processes that torchrun started, for a block.

    Yields whether this is the first one, which alone writes and reports. Tensors meet by gloo on
    CPUs, and by nccl on GPUs, of which each process takes one. A process that ends is noticed at
    the next meeting; by nccl, after ``timeout``, and torch then ends the others itself.

    Args:
        device: where the tensors live; ``cuda`` with torchrun, not ``cuda:N``.
        timeout: how long to wait for another process.

    Raises:
        NegGenError: If there is no GPU for this process, or the processes do not find each other.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield True
        return
    backend = "gloo"
    if device != "cpu":
        backend = "cpu:gloo,cuda:nccl"
        _take_gpu(device)
    try:
        dist.init_process_group(backend, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        raise NegGenError(
            f"The processes cannot meet ({_reason(error)}); start them with torchrun."
        ) from None
    try:
        yield dist.get_rank() == 0
    finally:
        dist.destroy_process_group()


def writes() -> bool:
    """Return whether this process writes files: it is the first one, or the only one."""
    return not dist.is_initialized() or dist.get_rank() == 0


def first_says(answer: bool) -> bool:
    """Return the answer of the first process, for which the others wait."""
    if dist.is_initialized():
        told = torch.tensor(int(answer))  # by gloo, so that no GPU waits busily
        with _meeting():
            dist.broadcast(told, 0)
            answer = bool(told)
    return answer


def share(batch: Batch, by_row: bool) -> tuple[Batch, float]:
    """Return what this process computes of a batch, and how much its loss weighs in the sum.

    Args:
        batch: the same for all processes.
        by_row: whether the loss is a mean over rows, so that the rows can be divided.
    """
    if not dist.is_initialized():
        return batch, 1.0
    count, rows = dist.get_world_size(), len(batch.users)
    if not by_row or rows < count:
        return batch, 1 / count
    own = Batch(*(column.tensor_split(count)[dist.get_rank()] for column in batch))
    return own, len(own.users) / rows


def add_up(tensors: Iterable[Tensor | None]) -> None:
    """Replace tensors, in the same order everywhere, by their sums over all processes."""
    if dist.is_initialized():
        with _meeting():
            under_way = [dist.all_reduce(t, async_op=True) for t in tensors if t is not None]
            for each in under_way:
                each.wait()


def start_alike(tensors: Iterable[Tensor]) -> None:
    """Take over the tensors of the first process, should another machine have made others."""
    if dist.is_initialized():
        with _meeting():
            for tensor in tensors:
                dist.broadcast(tensor, 0)


def ranking_figures(
    score: Scorer,
    seen: csr_matrix,
    target: csr_matrix,
    *,
    ks: Sequence[int],
    candidates: NDArray[np.bool_] | None,
    device: torch.device,
) -> dict[str, float]:
    """Measure a ranking, every process some of its users; arguments as of ``evaluate_ranking``.

    Returns:
        The mean of every figure over all users, and the coverage, alike in every process.
    """
    users = np.flatnonzero(np.diff(target.indptr))
    measure = partial(evaluate_ranking, score, seen, ks=ks, candidates=candidates, device=device)
    if not dist.is_initialized():
        return measure(target).metrics
    if len(users) < dist.get_world_size():
        figures = measure(target).metrics
        told = torch.tensor(list(figures.values()), dtype=torch.float64, device=device)
        start_alike([told])
        return dict(zip(figures, told.tolist(), strict=True))
    own = np.array_split(users, dist.get_world_size())[dist.get_rank()]
    result = measure(_only(target, own))
    per_user = torch.zeros(len(result.per_user), len(users))
    shown = torch.zeros(len(ks), target.shape[1])
    place = np.isin(users, own)
    for row, values in zip(per_user.numpy(), result.per_user.values(), strict=True):
        row[place] = values
    for row, k in zip(shown.numpy(), ks, strict=True):
        listed = result.lists[:, :k]
        row[listed[listed >= 0]] = 1
    per_user, shown = per_user.to(device), shown.to(device)
    add_up([per_user, shown])
    means = [float(row.mean()) for row in per_user.cpu().numpy()]
    ranked = target.shape[1] if candidates is None else int(candidates.sum())
    covered = (shown > 0).sum(1).tolist()
    return {
        **dict(zip(result.per_user, means, strict=True)),
        **{f"coverage@{k}": count / ranked for k, count in zip(ks, covered, strict=True)},
    }


def _only(matrix: csr_matrix, rows: NDArray[np.int64]) -> csr_matrix:
    """Return a matrix with some consecutive rows, and all others empty."""
    first, last = matrix.indptr[rows[0]], matrix.indptr[rows[-1] + 1]
    return csr_matrix(
        (
            matrix.data[first:last],
            matrix.indices[first:last],
            np.clip(matrix.indptr, first, last) - first,
        ),
        shape=matrix.shape,
    )


def _take_gpu(device: str) -> None:
    own, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if device != "cuda":
        raise NegGenError(
            f"Every process takes a GPU of its own, so the device of a training by several cannot "
            f"be '{device}'; take 'cuda'."
        )
    if own >= count:
        raise NegGenError(
            f"Process {own} of this machine has no GPU, there are {count}; start as many processes "
            f"as there are GPUs, or take the device 'cpu'."
        )
    torch.cuda.set_device(own)


@contextmanager
def _meeting() -> Iterator[None]:
    """Say what it means that another process does not come."""
    try:
        yield
    except RuntimeError as error:
        raise NegGenError(
            f"Another process of this training has ended or does not answer ({_reason(error)}); "
            f"look for what it said, then give the same command again to go on from the last "
            f"checkpoint."
        ) from error


def _reason(error: Exception) -> str:
    """Return the first sentence of an error, without where in torch's own source it arose."""
    return re.sub(r"^\[\S+\] ", "", str(error)).split(". ")[0].partition("\n")[0].rstrip(".")
