"""Is one recommender better than another, or lucky: paired tests over users.

Everything looks at paired figures, such as the NDCG@20 of the same users under two models. A user
who is tested under several seeds counts once, with the mean of their figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import ttest_rel, wilcoxon


@dataclass(frozen=True)
class Comparison:
    """How figures of the same users differ, ours against theirs.

    Attributes:
        users: how many were compared.
        gain: mean of ours − theirs.
        relative_gain: the gain over the mean of theirs; None if that is 0.
        effect_size: Cohen's d of paired differences, their mean over their standard deviation;
            None if all of them are the same.
        t_test: p-value of the paired t-test, two-sided; 1 if nothing differs or there is one user.
        wilcoxon: p-value of the signed-rank test, two-sided, users without a difference left out
            (Wilcoxon 1945); 1 if nothing differs.
    """

    users: int
    gain: float
    relative_gain: float | None
    effect_size: float | None
    t_test: float
    wilcoxon: float


def compare(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> Comparison:
    """Compare paired figures, both ``[users]``."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    difference = ours - theirs
    gain, base = float(difference.mean()), float(theirs.mean())
    several = len(difference) > 1
    spread = float(difference.std(ddof=1)) if several else 0.0
    differs = several and bool(difference.any())
    return Comparison(
        users=len(ours),
        gain=gain,
        relative_gain=gain / base if base else None,
        effect_size=gain / spread if spread else None,
        t_test=float(ttest_rel(ours, theirs).pvalue) if differs else 1.0,
        wilcoxon=float(wilcoxon(difference).pvalue) if differs else 1.0,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for being several (Holm 1979): none of m true hypotheses is likely to fall.

    The k-th smallest of m is multiplied by m − k + 1, and none falls below a smaller one.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return corrected


def over_seeds(per_user: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Return one row a user: the mean of a figure over the seeds under which they were tested.

    Args:
        per_user: ``user_id`` and ``metric``, a row for each user and seed.
        metric: the column.
    """
    figure = pl.col(metric).cast(pl.Float64).mean()
    return per_user.group_by("user_id", maintain_order=True).agg(figure)


def compare_over_seeds(ours: pl.DataFrame, theirs: pl.DataFrame, metric: str) -> Comparison:
    """Compare two models on the users that both were tested on; see :func:`over_seeds`."""
    sides = over_seeds(ours, metric), over_seeds(theirs, metric).rename({metric: "theirs"})
    both = sides[0].join(sides[1], on="user_id", validate="1:1")
    return compare(both[metric].to_numpy(), both["theirs"].to_numpy())
