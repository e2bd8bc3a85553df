"""The table of models: every figure as it is, and one sentence on who is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from neggen.studio.groups import RunGroup
from neggen.studio.versus import compare_users, measured_parts

METRICS = {
    "recall@20": "Recall",
    "ndcg@20": "NDCG",
    "precision@20": "Precision",
    "map@20": "MAP",
    "mrr@20": "MRR",
    "hit@20": "Hit rate",
    "coverage@20": "Coverage",
}
FIRST = "recall@20"
"""The figure that the verdict is about."""
REFERENCE = "lightgcn"
"""The model that changes are relative to."""


@dataclass(frozen=True)
class Cell:
    """One figure: mean over runs, standard deviation if several, and how it compares.

    Attributes:
        mean: the mean over the row's runs.
        spread: the sample standard deviation, or None for a single run.
        change: relative change to the reference row, 0.05 being 5% better; None without one.
        share: the figure as a share of the table's best, for the bar. In [0, 1].
        best: whether no row has a higher figure (and there are several rows).
    """

    mean: float
    spread: float | None
    change: float | None
    share: float
    best: bool


@dataclass(frozen=True)
class Row:
    """One model's figures; a cell is None where that figure was not measured."""

    title: str
    names: tuple[str, ...]
    cells: tuple[Cell | None, ...]
    seconds: float


@dataclass(frozen=True)
class ScoreTable:
    """All rows that were measured on the same part of the same splits."""

    part: str
    splits: tuple[str, ...]
    rows: tuple[Row, ...]
    verdict: str


def score_tables(groups: Sequence[RunGroup]) -> list[ScoreTable]:
    """Return one table per evaluated part and set of splits, ``test`` first.

    Figures from different splits are never put side by side.
    """
    parts: dict[tuple[str, tuple[str, ...]], list[RunGroup]] = {}
    for group in groups:
        for part in {part: None for run in group.runs for part in run.metrics}:
            parts.setdefault((part, group.splits), []).append(group)
    order = {"test": 0, "valid": 2}
    tables = [_table(part, splits, rows) for (part, splits), rows in parts.items()]
    return sorted(tables, key=lambda table: order.get(table.part, 1))


def _table(part: str, splits: tuple[str, ...], groups: Sequence[RunGroup]) -> ScoreTable:
    figures = [_figures(group, part) for group in groups]  # per row: metric → values over runs
    reference = next(
        (row for row, group in zip(figures, groups, strict=True) if group.model == REFERENCE), {}
    )
    highest = {
        metric: max((fmean(row[metric]) for row in figures if metric in row), default=0.0)
        for metric in METRICS
    }
    rows = []
    for group, own in zip(groups, figures, strict=True):
        cells: list[Cell | None] = []
        for metric in METRICS:
            if metric not in own:
                cells.append(None)
                continue
            mean = fmean(own[metric])
            base = fmean(reference[metric]) if metric in reference and own is not reference else 0
            cells.append(
                Cell(
                    mean=mean,
                    spread=stdev(own[metric]) if len(own[metric]) > 1 else None,
                    change=mean / base - 1 if base else None,
                    share=mean / highest[metric] if highest[metric] else 0.0,
                    best=len(groups) > 1 and mean == highest[metric] > 0,
                )
            )
        seconds = fmean(float(manifest["seconds"]) for manifest in group.manifests)
        rows.append(Row(group.title, group.names, tuple(cells), seconds))
    return ScoreTable(part, splits, tuple(rows), _verdict(part, groups, figures))


def _figures(group: RunGroup, part: str) -> Mapping[str, list[float]]:
    values: dict[str, list[float]] = {}
    for run in group.runs:
        for metric, value in run.metrics.get(part, {}).items():
            values.setdefault(metric, []).append(value)
    return values


def _verdict(
    part: str, groups: Sequence[RunGroup], figures: Sequence[Mapping[str, list[float]]]
) -> str:
    """Say which model is best by Recall@20, by how much, and whether that may be chance."""
    measured = [
        (fmean(row[FIRST]), group)
        for row, group in zip(figures, groups, strict=True)
        if FIRST in row
    ]
    if not measured:
        return "No run has a Recall@20 here; evaluate them again."
    ranked = sorted(measured, key=lambda pair: pair[0], reverse=True)
    score, best = ranked[0]
    if len(ranked) == 1:
        return f"{best.title} reaches a Recall@20 of {score:.4f}; there is no other run to compare."
    second_score, second = ranked[1]
    if score == second_score:
        sentence = f"{best.title} and {second.title} tie at a Recall@20 of {score:.4f}"
        return f"{sentence}{_ours(ranked)}."
    lead = f"{score / second_score - 1:.1%} above" if second_score else "above"
    sentence = (
        f"{best.title} is best with a Recall@20 of {score:.4f}, {lead} "
        f"{second.title} ({second_score:.4f})"
    )
    return f"{sentence}{_ours(ranked)}.{_chance(part, best, second)}"


def _ours(ranked: Sequence[tuple[float, RunGroup]]) -> str:
    """Say where NegGen stands if it is not among the first two."""
    places = [place for place, (_, group) in enumerate(ranked, 1) if group.model == "neggen"]
    if not places or places[0] <= 2:
        return ""
    score = ranked[places[0] - 1][0]
    return f"; NegGen is number {places[0]} of {len(ranked)} ({score:.4f})"


def _chance(part: str, best: RunGroup, second: RunGroup) -> str:
    """Compare the best two user by user, if each is a single run."""
    if len(best.runs) > 1 or len(second.runs) > 1:
        return ""
    runs = second.runs[0], best.runs[0]
    alike = runs[0].manifest["split"] == runs[1].manifest["split"]
    if not alike or part not in measured_parts(*runs):
        return ""
    found = compare_users(*runs, part, FIRST)
    if found.margin is None:
        return ""
    low, high = found.mean - found.margin, found.mean + found.margin
    judged = "more than chance would do" if low > 0 else "which may be chance"
    return (
        f" Over {len(found.users):,} users the mean gain lies between {low:+.4f} and {high:+.4f} "
        f"(95% interval of the paired difference), {judged}."
    )
