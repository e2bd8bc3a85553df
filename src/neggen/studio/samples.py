"""Recommendations for a few users, every model side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.evaluation.ranking import candidates_of
from neggen.models.reasons import Reason, strongest_reasons
from neggen.studio.pictures import SMALL, Thumbnails
from neggen.studio.reasons import explain_run

if TYPE_CHECKING:
    from neggen.models.base import Recommender
    from neggen.runs import Run

SHOWN = 6
"""Items in a row: of what was used, and of each model's list."""
FEWEST_USED = 3
"""Training items a user must have to be drawn, so that there is something to go by."""


@dataclass(frozen=True)
class Tile:
    """An item in a list; ``hit`` if the user used it in the hidden test part.

    ``because`` are the key attributes that speak most for it, of models that score by descriptions.
    """

    title: str
    picture: str | None
    hit: bool
    because: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class ModelList:
    """What one run recommends, best first.

    ``unexplained`` says why no reasons are given though the model scores by descriptions.
    """

    title: str
    tiles: tuple[Tile, ...]
    unexplained: str = ""


@dataclass(frozen=True)
class Sample:
    """One user: the first things they used, how many in all, and every model's list."""

    user_id: str
    used: tuple[Tile, ...]
    used_count: int
    hidden_count: int
    lists: tuple[ModelList, ...]

    @property
    def explained(self) -> bool:
        """Whether reasons are given for anything in the lists."""
        return any(tile.because for shown in self.lists for tile in shown.tiles)


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
        data: the split data, with records and vectors if there are any.
        users: how many users, at most.
        rng: decides which.
        thumbnails: makes the pictures.
    """
    used_enough = np.diff(data.train.indptr) >= FEWEST_USED
    candidates = np.flatnonzero(used_enough & (np.diff(data.test.indptr) > 0))
    drawn = rng.permutation(candidates)[:users]  # [users]
    if len(drawn) == 0:
        return []
    best, because, unexplained = {}, {}, {}
    for title, run in runs.items():
        model = run.load_model()
        best[title] = _best_items(model, data, drawn)
        because[title], unexplained[title] = _reasons(run, model, data, drawn, best[title])

    def tile(item: int, hidden: set[int], reasons: tuple[Reason, ...] = ()) -> Tile:
        return Tile(data.item_title(item), thumbnails.get(item, SMALL), item in hidden, reasons)

    def model_list(title: str, row: int, hidden: set[int]) -> ModelList:
        user_id, items = data.user_ids[int(drawn[row])], best[title][row]
        tiles = (
            tile(item, hidden, because[title].get((user_id, data.item_ids[item]), ()))
            for item in items
        )
        return ModelList(title, tuple(tiles), unexplained[title])

    samples = []
    for row, user in enumerate(drawn.tolist()):
        used, hidden = data.train[user].indices.tolist(), set(data.test[user].indices.tolist())
        samples.append(
            Sample(
                user_id=str(data.user_ids[user]),
                used=tuple(tile(item, set()) for item in used[:SHOWN]),
                used_count=len(used),
                hidden_count=len(hidden),
                lists=tuple(model_list(title, row, hidden) for title in runs),
            )
        )
    return samples


def _best_items(model: Recommender, data: Dataset, users: NDArray[np.int64]) -> list[list[int]]:
    """Return the best items for some users, best first; all that is left if that is few."""
    import torch

    scores = model.score_index(torch.from_numpy(users)).cpu().numpy()  # [users, items]
    scores = np.where((data.train + data.valid)[users].toarray() > 0, -np.inf, scores)
    if (ranked := candidates_of(data.test, data.train)) is not None:
        scores[:, ~ranked] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :SHOWN]  # [users, shown]
    return [
        [item for item in best.tolist() if np.isfinite(own[item])]
        for best, own in zip(order, scores, strict=True)
    ]


def _reasons(
    run: Run,
    model: Recommender,
    data: Dataset,
    users: NDArray[np.int64],
    items: list[list[int]],
) -> tuple[dict[tuple[str, str], tuple[Reason, ...]], str]:
    """Return what speaks for each user's items, by external ids, or else why that is not known."""
    from neggen.models.described_items import Described

    if not isinstance(model, Described):
        return {}, ""
    of_users = [data.user_ids[u] for u, own in zip(users.tolist(), items, strict=True) for _ in own]
    of_items = [data.item_ids[item] for own in items for item in own]
    try:
        return strongest_reasons(explain_run(run, model, data, of_users, of_items)), ""
    except NegGenError as error:
        return {}, str(error)
