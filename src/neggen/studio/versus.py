"""Two runs, user by user: who gains, who loses, and what each of them is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix, diags_array

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError, nearest, quoted
from neggen.evaluation.ranking import candidates_of, evaluate_ranking
from neggen.studio.pictures import SMALL, Thumbnails
from neggen.studio.samples import Tile

if TYPE_CHECKING:
    from neggen.models.base import Recommender
    from neggen.runs import Run

LISTED = 20
"""Items of each list, and of the history."""
EXTREMES = 12
"""Users named on either end."""


@dataclass(frozen=True)
class Difference:
    """One figure of two runs over the users who were measured with both.

    Attributes:
        part: what was measured.
        metric: the figure, such as ``ndcg@20``.
        users: ``user_id``, ``first``, ``second`` and ``gain`` (second minus first), greatest first.
    """

    part: str
    metric: str
    users: pl.DataFrame

    @property
    def mean(self) -> float:
        """The mean gain."""
        return float(self.users["gain"].to_numpy().mean())

    @property
    def margin(self) -> float | None:
        """Half the 95% interval of the mean gain; None for a single user."""
        gains = self.users["gain"].to_numpy()
        if len(gains) < 2:
            return None
        return float(1.96 * gains.std(ddof=1) / np.sqrt(len(gains)))

    @property
    def gained(self) -> int:
        """Users who gain."""
        return int((self.users["gain"] > 0).sum())

    @property
    def lost(self) -> int:
        """Users who lose."""
        return int((self.users["gain"] < 0).sum())

    @property
    def most_gained(self) -> pl.DataFrame:
        """The users who gain most, greatest gain first."""
        return self.users.filter(pl.col("gain") > 0).head(EXTREMES)

    @property
    def most_lost(self) -> pl.DataFrame:
        """The users who lose most, greatest loss first."""
        return self.users.filter(pl.col("gain") < 0).tail(EXTREMES).reverse()


@dataclass(frozen=True)
class TwoLists:
    """A user's history, what was held out, and the best items of two runs."""

    user_id: str
    history: tuple[Tile, ...]
    history_count: int
    held_out: tuple[Tile, ...]
    held_out_count: int
    first: tuple[Tile, ...]
    second: tuple[Tile, ...]


def measured_parts(first: Run, second: Run) -> list[str]:
    """Return the parts that both runs were evaluated on, user by user; ``test`` first."""
    parts = [
        {path.stem for path in run.folder.glob("per_user/*.parquet")} for run in (first, second)
    ]
    return sorted(parts[0] & parts[1], key=lambda part: (part != "test", part))


def refuse_unlike(first: Run, second: Run) -> None:
    """Raise NegGenError for two runs that were trained on other splits or data."""
    for name, what in (("split", "splits"), ("content_hash", "data")):
        if first.manifest[name] != second.manifest[name]:
            raise NegGenError(
                f"{first.folder.name} and {second.folder.name} were trained on different {what}, "
                "so their users cannot be compared; choose two runs of the same."
            )


def compare_users(first: Run, second: Run, part: str, metric: str) -> Difference:
    """Put two runs side by side, user by user.

    Raises:
        NegGenError: If they were trained on other splits or data, or not measured alike.
    """
    refuse_unlike(first, second)
    frames = [_per_user(run, part, metric) for run in (first, second)]
    both = frames[0].join(frames[1], on="user_id", suffix="_second")
    if both.is_empty():
        raise NegGenError(
            f"No user was measured with both {first.folder.name} and {second.folder.name}; "
            "evaluate both again."
        )
    users = both.select(
        "user_id",
        first=pl.col(metric),
        second=pl.col(f"{metric}_second"),
        gain=pl.col(f"{metric}_second") - pl.col(metric),
    ).sort(["gain", "user_id"], descending=[True, False])
    return Difference(part, metric, users)


def two_lists(
    models: tuple[Recommender, Recommender],
    data: Dataset,
    part: str,
    user_id: str,
    thumbnails: Thumbnails,
) -> TwoLists:
    """Return what both models show a user, ranked as the evaluation of ``part`` ranks.

    Args:
        models: both fitted on the split of ``data``.
        data: the split data.
        part: what was measured, whose items are the hits.
        user_id: external id.
        thumbnails: makes the pictures.

    Raises:
        NegGenError: If there is no such user, or none of their items is in the part.
    """
    found = (data.user_ids == user_id).arg_max()
    if found is None or data.user_ids[found] != user_id:
        hint = nearest(user_id, data.user_ids.head(100_000).to_list())
        raise NegGenError(f"There is no user '{user_id}' in this workspace.{hint}")
    target = data.matrix(part)
    seen = data.known_before(part)
    hidden = _items(target, found)
    if not hidden:
        raise NegGenError(
            f"Nothing that user '{user_id}' used is in the part '{part}', so there is nothing to "
            "be found; choose another user."
        )

    def tiles(items: list[int], hits: set[int]) -> tuple[Tile, ...]:
        return tuple(
            Tile(data.item_title(item), thumbnails.get(item, SMALL), item in hits)
            for item in items[:LISTED]
        )

    first, second = (
        tiles(_best(model, target, seen, data.train, found), set(hidden)) for model in models
    )
    history = _items(data.train, found)
    return TwoLists(
        user_id=user_id,
        history=tiles(history, set()),
        history_count=len(history),
        held_out=tiles(hidden, set(hidden)),
        held_out_count=len(hidden),
        first=first,
        second=second,
    )


def _per_user(run: Run, part: str, metric: str) -> pl.DataFrame:
    path = run.folder / "per_user" / f"{part}.parquet"
    if not path.is_file():
        raise NegGenError(
            f"{run.folder.name} was not measured on '{part}' yet; run: "
            f"neggen evaluate {quoted(run.folder)}"
        )
    try:
        return pl.read_parquet(path, columns=["user_id", metric])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise NegGenError(f"{path} cannot be read ({error}); evaluate the run again.") from None


def _best(
    model: Recommender, target: csr_matrix, seen: csr_matrix, train: csr_matrix, user: int
) -> list[int]:
    """Return a user's list as the evaluation makes it, which decides ties in its own way."""
    rows = np.zeros(target.shape[0], dtype=np.float32)
    rows[user] = 1
    own = csr_matrix(diags_array(rows) @ target)
    result = evaluate_ranking(model.score_index, seen, own, candidates=candidates_of(target, train))
    return [item for item in result.lists[0, :LISTED].tolist() if item >= 0]


def _items(matrix: csr_matrix, user: int) -> list[int]:
    """Return the items of a user's row."""
    items: list[int] = matrix[user].indices.tolist()
    return items
