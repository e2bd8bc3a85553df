"""The tables of a study, ready to be printed or written in any format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neggen.comparison.summary import SHOWN
from neggen.comparison.wording import (
    about,
    about_beyond,
    about_costs,
    about_slices,
    effect_size,
    gain,
    has_several,
    label,
    mean,
    mean_and_std,
    p_value,
    trials,
)
from neggen.models.measuring import BEYOND
from neggen.overrides import flat


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: heads it.
        about: a paragraph that explains it; words between asterisks are set apart.
        columns: their heads; the first column names the rows.
        cells: the rows.
        ranks: by column of figures of which more is better, the place of every row from 0; equal
            figures share one, and a column of equal figures has none.
    """

    title: str
    about: str
    columns: list[str]
    cells: list[list[str]]
    ranks: dict[int, list[int]]


def main_table(results: Mapping[str, Any], *, wide: bool = True) -> Table:
    """Return what was compared; without effect sizes and costs if it is not wide."""
    rows, metrics = results["rows"], list(dict.fromkeys([*SHOWN, results["metric"]]))
    columns = ["", *map(label, metrics), "gain", "p (Holm)"]
    if several := has_several(results):
        columns.append("over")
    if wide:
        columns.append("effect size")
    columns.append("trials")
    if wide:
        columns += ["fit s", "peak MiB"]
    cells = []
    for name, row in rows.items():
        against = row["against"]
        figures = [mean_and_std(row["metrics"][key]) for key in metrics]
        cells.append([name, *figures, gain(against), p_value(against and against["t_test_holm"])])
        if several:
            cells[-1].append(against["row"] if against else "")
        if wide:
            cells[-1].append(effect_size(against))
        cells[-1].append(trials(row["tuning"]))
        if wide:
            cells[-1] += [mean([row["seconds"]], 1), _peak(row)]
    ranks = _ranks([[row["metrics"][key] for row in rows.values()] for key in metrics])
    return Table(results["title"], about(results), columns, cells, ranks)


def further_tables(results: Mapping[str, Any]) -> list[Table]:
    """Return slices, what lists are worth beside being right, costs, and sweeps."""
    sweeps = [_sweep(results, name, sweep) for name, sweep in results["sweeps"].items()]
    return [_slices(results), _beyond(results), _costs(results), *sweeps]


def tests_table(results: Mapping[str, Any]) -> Table:
    """Return every test with its p-values, corrected and not."""
    columns = [
        "", "against", "users", "gain", "relative", "effect size", "t-test p", "t-test p (Holm)",
        "Wilcoxon p", "Wilcoxon p (Holm)",
    ]  # fmt: skip
    cells = [
        [
            name,
            against["row"],
            f"{against['users']:,}",
            f"{against['gain']:+.4f}",
            gain(against),
            effect_size(against),
            *(
                p_value(against[key])
                for key in ("t_test", "t_test_holm", "wilcoxon", "wilcoxon_holm")
            ),
        ]
        for name, row in results["rows"].items()
        if (against := row["against"])
    ]
    words = (
        f"Paired tests of {label(results['metric'])} over users, each with the mean over their "
        f"seeds, two-sided; Holm's correction is over the rows of this table."
    )
    return Table("Tests of significance", words, columns, cells, {})


def chosen_table(results: Mapping[str, Any]) -> Table:
    """Return what tuning chose, and how it validated."""
    cells = [
        [name, mean_and_std(row["valid"]), json.dumps(_tuned(row))]
        for name, row in results["rows"].items()
    ]
    columns = ["", f"valid {label(results['metric'])}", "tuned"]
    return Table("Chosen settings", "", columns, cells, {})


def _tuned(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was tuned, as the row has it, which may set itself what trials chose."""
    used = dict(flat(row["settings"]))
    return {name: used.get(name, value) for name, value in row["tuning"]["params"].items()}


def _slices(results: Mapping[str, Any]) -> Table:
    rows = results["rows"]
    first = next(iter(rows.values()))["slices"]
    keys = [(name, figure) for name in first if any(first[name]["users"]) for figure in SHOWN]
    columns = ["", *(f"{label(figure)} {name}" for name, figure in keys)]
    cells = [
        [title, *(mean_and_std(row["slices"][name][figure]) for name, figure in keys)]
        for title, row in rows.items()
    ]
    ranks = _ranks(
        [[row["slices"][name][figure] for row in rows.values()] for name, figure in keys]
    )
    return Table("Slices", about_slices(results), columns, cells, ranks)


def _beyond(results: Mapping[str, Any]) -> Table:
    rows = results["rows"]
    shown = [key for key in BEYOND if all(key in row["diversity"] for row in rows.values())]
    columns = ["", "coverage@20", *(BEYOND[key] for key in shown)]
    cells = [
        [
            name,
            mean(row["metrics"]["coverage@20"]),
            *(mean(row["diversity"][key], 1 if key == "popularity@20" else 3) for key in shown),
        ]
        for name, row in rows.items()
    ]
    return Table("Beyond accuracy", about_beyond(), columns, cells, {})


def _costs(results: Mapping[str, Any]) -> Table:
    columns = ["", "trials", "tuning s", "fit s", "epoch s", "test s", "peak MiB"]
    cells = [
        [
            name,
            trials(row["tuning"]),
            "" if row["tuning"]["of"] else mean([row["tuning"]["seconds"]], 1),
            mean([row["seconds"]], 1),
            mean([row["epoch_seconds"]]),
            mean([row["evaluation_seconds"]], 2),
            _peak(row),
        ]
        for name, row in results["rows"].items()
    ]
    return Table("Cost", about_costs(results), columns, cells, {})


def _sweep(results: Mapping[str, Any], name: str, sweep: Mapping[str, Any]) -> Table:
    metric = label(results["metric"])
    cells = [
        [json.dumps(value), mean_and_std(valid), mean_and_std(test)]
        for value, valid, test in zip(sweep["values"], sweep["valid"], sweep["tested"], strict=True)
    ]
    columns = [sweep["setting"], f"valid {metric}", metric]
    return Table(f"Sweep: {name} ({sweep['row']})", "", columns, cells, {})


def _peak(row: Mapping[str, Any]) -> str:
    return mean([row["peak_mib"]], 0)


def _ranks(columns: Sequence[Sequence[Sequence[float | None]]]) -> dict[int, list[int]]:
    """Return :attr:`Table.ranks` of columns of figures by row and seed, from column 1 on."""
    found = {}
    for place, figures in enumerate(columns, start=1):
        shown = [mean(of_row, 4) for of_row in figures]
        order = sorted(set(shown) - {"–"}, key=float, reverse=True)
        if len(order) > 1:
            found[place] = [order.index(text) if text in order else len(order) for text in shown]
    return found
