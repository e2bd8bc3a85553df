"""Full-ranking evaluation: every user against every item, in chunks of bounded memory.

Where all that is held out is new, as in the split ``cold-items``, every user is ranked against the
new items alone; see :func:`candidates_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.errors import NegGenError

KS = (5, 10, 20, 50)
CHUNK_SCORES = 1 << 20
"""Scores held at once: 4 MB, which stay in a processor's cache."""
ON_GPU = 64
"""Times as many scores fill a GPU."""

Scorer = Callable[[Tensor], Tensor]
"""Internal users, int64 ``[batch]``, to scores of all items, float ``[batch, items]``, in a tensor
that whoever asked may write into."""


@dataclass(frozen=True)
class RankingResult:
    """Figures of one evaluation.

    Attributes:
        users: internal index of every user with at least one target item, ``[evaluated]``.
        per_user: figure by name, such as ``ndcg@20``, each float32 ``[evaluated]``.
        coverage: share of the candidates that appears in somebody's top k, by ``coverage@k``.
        lists: the top of every user's list, internal items, int32 ``[evaluated, longest k]``, in
            which −1 ends a list early.
    """

    users: NDArray[np.int64]
    per_user: dict[str, NDArray[np.float32]]
    coverage: dict[str, float]
    lists: NDArray[np.int32]

    @property
    def metrics(self) -> dict[str, float]:
        """The mean of every figure over users, and the coverage."""
        means = {name: float(values.mean()) for name, values in self.per_user.items()}
        return {**means, **self.coverage}


def users_at_once(items: int, device: torch.device | str = "cpu") -> int:
    """Return for how many users the scores of all items may be held together."""
    times = 1 if torch.device(device).type == "cpu" else ON_GPU
    return max(1, times * CHUNK_SCORES // items)


def candidates_of(target: csr_matrix, train: csr_matrix) -> NDArray[np.bool_] | None:
    """Return which items to rank when ``target`` is measured: None for all of them.

    If nobody has used any target item in training, these items are ranked among themselves, as is
    usual for cold items: among all items they would drown in those that a model knows.

    Args:
        target: 0/1 ``[users, items]``, the part that is measured.
        train: 0/1 ``[users, items]``, what was learned from.

    Returns:
        bool ``[items]``, True for the items of ``target``, or None; None if there is no target.
    """
    wanted = np.bincount(target.indices, minlength=target.shape[1]) > 0  # [items]
    return None if wanted[train.indices].any() or not wanted.any() else wanted


def evaluate_ranking(
    score: Scorer,
    seen: csr_matrix,
    target: csr_matrix,
    *,
    ks: Sequence[int] = KS,
    candidates: NDArray[np.bool_] | None = None,
    device: torch.device | str = "cpu",
) -> RankingResult:
    """Rank all items for every user who has a target item, and measure the top of the list.

    With hits h_r ∈ {0, 1} at rank r and n target items of a user::

        recall@k    = Σ_{r≤k} h_r / n            precision@k = Σ_{r≤k} h_r / k
        hit@k       = max_{r≤k} h_r              mrr@k       = 1 / (rank of the first hit)
        ndcg@k      = Σ_{r≤k} h_r / log2(r + 1)  over the same sum for min(n, k) hits on top
        map@k       = Σ_{r≤k} h_r · precision@r / min(n, k)

    Args:
        score: gives the scores of all items for a batch of users.
        seen: 0/1 ``[users, items]``; these pairs are taken out of the ranking.
        target: 0/1 ``[users, items]``; these pairs are what should be found.
        ks: lengths of the list to measure. A list longer than the catalogue ends with it, and the
            figure keeps its name.
        candidates: bool ``[items]``; only these are ranked. All of them by default.
        device: where ``score`` expects its users.

    Raises:
        NegGenError: If a score is no number.
    """
    users = np.flatnonzero(np.diff(target.indptr))
    items = target.shape[1]
    ks = sorted(set(ks))
    depth = min(max(ks), items)
    chunk = users_at_once(items, device)
    blocked = None if candidates is None else torch.from_numpy(~candidates).to(device)
    outside, wanted = _Entries(seen, users, device), _Entries(target, users, device)
    rows = torch.from_numpy(users).to(device)
    never = torch.full((), -torch.inf, device=device)
    broken = torch.zeros((), dtype=torch.bool, device=device)
    lists, hits = [], []

    with torch.inference_mode():
        for start in range(0, len(users), chunk):
            batch = rows[start : start + chunk]
            scores = score(batch).float()  # [batch, items]
            if blocked is not None:
                scores.masked_fill_(blocked, -torch.inf)
            scores.index_put_(outside.among(start, len(batch)), never)
            top = scores.topk(depth, dim=1)  # [batch, depth], numbers below what is none
            broken |= top.values[:, 0].isnan().any()
            listed = top.values > -torch.inf
            relevant = torch.zeros(scores.shape, dtype=torch.bool, device=device)
            relevant[wanted.among(start, len(batch))] = True
            hits.append(relevant.gather(1, top.indices) & listed)  # [batch, depth]
            lists.append(top.indices.masked_fill(~listed, -1).int())
        found = torch.cat(hits) if hits else torch.zeros(0, depth, device=device)
        listing = torch.cat(lists).cpu().numpy() if lists else np.zeros((0, depth), np.int32)
        counts = torch.from_numpy(np.diff(target.indptr)[users]).to(device)  # [evaluated]
        per_user = {n: v.cpu().numpy() for n, v in _measure(found.float(), counts, ks)}

    if broken:
        raise NegGenError("The model scored some items as NaN; fit it again with other settings.")
    ranked = items if candidates is None else int(candidates.sum())
    return RankingResult(
        users=users.astype(np.int64),
        per_user=per_user,
        coverage={f"coverage@{k}": _distinct(listing[:, :k], items) / ranked for k in ks},
        lists=listing,
    )


def _measure(hits: Tensor, counts: Tensor, ks: Sequence[int]) -> Iterator[tuple[str, Tensor]]:
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)  # [depth]
    discounts = 1 / torch.log2(ranks + 1.0)
    ideal = discounts.cumsum(0)
    found = hits.cumsum(1)  # [evaluated, depth]
    gained = (hits * discounts).cumsum(1)
    precise = (hits * found / ranks).cumsum(1)
    first = hits.argmax(1) + 1  # [evaluated], rank of the first hit where there is one
    for k in ks:
        most = counts.clamp(max=k)  # hits that a perfect list of k would have
        last = min(k, hits.shape[1]) - 1
        yield f"recall@{k}", found[:, last] / counts
        yield f"ndcg@{k}", gained[:, last] / ideal[most - 1]
        yield f"precision@{k}", found[:, last] / k
        yield f"map@{k}", precise[:, last] / most
        hit = found[:, last] > 0
        yield f"mrr@{k}", torch.where(hit, 1.0 / first, 0.0)
        yield f"hit@{k}", hit.float()


def _distinct(lists: NDArray[np.int32], items: int) -> int:
    """Return how many different items some lists have, of which −1 is none."""
    shown = np.zeros(items + 1, dtype=bool)
    shown[lists] = True
    return int(shown[:-1].sum())


class _Entries:
    """Where some rows of a 0/1 matrix have entries, on a device once for all chunks of rows."""

    def __init__(
        self, matrix: csr_matrix, rows: NDArray[np.int64], device: torch.device | str
    ) -> None:
        block = matrix[rows]
        row = np.repeat(np.arange(len(rows)), np.diff(block.indptr))
        self._ends = block.indptr
        self._rows = torch.from_numpy(row).to(device)  # [entries]
        self._columns = torch.from_numpy(block.indices.astype(np.int64)).to(device)  # [entries]

    def among(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Return (row − start, column) of every entry of ``count`` rows from ``start``."""
        part = slice(self._ends[start], self._ends[start + count])
        return self._rows[part] - start, self._columns[part]
