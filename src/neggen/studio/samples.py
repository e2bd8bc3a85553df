"""Recommendations for a few users, every model side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.studio.pictures import SMALL, Thumbnails

if TYPE_CHECKING:
    from neggen.runs import Run

SHOWN = 6
"""Items in a row: of what was used, and of each model's list."""
FEWEST_USED = 3
"""Training items a user must have to be drawn, so that there is something to go by."""


@dataclass(frozen=True)
class Tile:
    """An item in a list; ``hit`` if the user used it in the hidden test part."""

    title: str
    picture: str | None
    hit: bool


@dataclass(frozen=True)
class ModelList:
    """What one run recommends, best first."""

    title: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Sample:
    """One user: the first things they used, how many in all, and every model's list."""

    user_id: str
    used: tuple[Tile, ...]
    used_count: int
    hidden_count: int
    lists: tuple[ModelList, ...]


def make_samples(
    runs: Mapping[str, Run],
    data: Dataset,
    users: int,
    rng: np.random.Generator,
    thumbnails: Thumbnails,
) -> list[Sample]:
    """Draw users with enough training and some hidden test items; recommend with every run.

    What a user used in the training or validation part is not recommended again.

    Args:
        runs: what to call each run, and the run; all trained on the split of ``data``.
        data: the split data.
        users: how many users, at most.
        rng: decides which.
        thumbnails: makes the pictures.
    """
    used_enough = np.diff(data.train.indptr) >= FEWEST_USED
    candidates = np.flatnonzero(used_enough & (np.diff(data.test.indptr) > 0))
    drawn = rng.permutation(candidates)[:users]  # [users]
    if len(drawn) == 0:
        return []
    best = {title: _best_items(run, data, drawn) for title, run in runs.items()}

    def tile(item: int, hidden: set[int]) -> Tile:
        return Tile(data.item_title(item), thumbnails.get(item, SMALL), item in hidden)

    samples = []
    for row, user in enumerate(drawn.tolist()):
        used, hidden = data.train[user].indices.tolist(), set(data.test[user].indices.tolist())
        samples.append(
            Sample(
                user_id=str(data.user_ids[user]),
                used=tuple(tile(item, set()) for item in used[:SHOWN]),
                used_count=len(used),
                hidden_count=len(hidden),
                lists=tuple(
                    ModelList(title, tuple(tile(item, hidden) for item in items[row]))
                    for title, items in best.items()
                ),
            )
        )
    return samples


def _best_items(run: Run, data: Dataset, users: NDArray[np.int64]) -> list[list[int]]:
    """Return the best items for some users, best first; all that is left if that is few."""
    import torch

    scores = run.load_model().score_index(torch.from_numpy(users)).cpu().numpy()  # [users, items]
    scores = np.where((data.train + data.valid)[users].toarray() > 0, -np.inf, scores)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :SHOWN]  # [users, shown]
    return [
        [item for item in best.tolist() if np.isfinite(own[item])]
        for best, own in zip(order, scores, strict=True)
    ]
