"""The results of a study as files: Markdown, CSV, JSON, and the figures of every user."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from neggen.comparison.fitting import Fit
from neggen.comparison.study import Study
from neggen.comparison.summary import SHOWN, per_user, spread
from neggen.workspace import atomic_path, write_text

LABELS = {"recall": "Recall", "ndcg": "NDCG", "precision": "Precision", "map": "MAP", "mrr": "MRR"}
DIVERSITY = {
    "gini@20": "Gini@20",
    "novelty@20": "novelty@20",
    "intra_list_distance@20": "list distance@20",
}
"""Figures beyond being right, and what to call them."""


def write_results(
    folder: Path, study: Study, results: Mapping[str, Any], fits: Mapping[str, Sequence[Fit]]
) -> None:
    """Write ``results.md``, ``results.csv``, ``results.json`` and ``per_user.parquet``.

    Args:
        folder: where they go.
        study: what was compared.
        results: from :func:`~neggen.comparison.summary.summarize`.
        fits: the fits of every row, by seed.
    """
    write_text(folder / "results.json", json.dumps(results, indent=1))
    write_text(folder / "results.md", markdown(results))
    by_seed = [
        {"row": name, "seed": seed, **{key: values[seed] for key, values in figures.items()}}
        for name, row in results["rows"].items()
        for figures in [{**row["metrics"], **row["diversity"]}]
        for seed in range(results["seeds"])
    ]
    with atomic_path(folder / "results.csv") as temporary:
        pl.DataFrame(by_seed).write_csv(temporary)
    tables = [
        per_user(study, found).select(pl.lit(name).alias("row"), pl.all())
        for name, found in fits.items()
    ]
    with atomic_path(folder / "per_user.parquet") as temporary:
        pl.concat(tables).write_parquet(temporary)


def table(results: Mapping[str, Any], *, wide: bool = True) -> tuple[list[str], list[list[str]]]:
    """Return the columns and cells of the table, mean ± std over seeds; fewer if it is narrow."""
    rows, metrics = results["rows"], list(dict.fromkeys([*SHOWN, results["metric"]]))
    every = [key for key in DIVERSITY if all(key in row["diversity"] for row in rows.values())]
    columns = ["", *map(label, metrics), "coverage@20", "gain", "p (Holm)"]
    if several := len(_opponents(results)) > 1:
        columns.append("over")
    if wide:
        columns += ["effect size", *(DIVERSITY[key] for key in every)]
        columns += ["trials", "tuning s", "fit s"]
    cells = []
    for name, row in rows.items():
        gain, p, size = _against(row["against"])
        figures = [mean_and_std(row["metrics"][key]) for key in metrics]
        cells.append([name, *figures, _mean(row["metrics"]["coverage@20"]), gain, p])
        if several:
            cells[-1].append(row["against"]["row"] if row["against"] else "")
        if wide:
            tuning = row["tuning"]
            cells[-1] += [
                size,
                *(_mean(row["diversity"][key]) for key in every),
                _trials(tuning),
                "" if tuning["of"] else f"{tuning['seconds']:.1f}",
                f"{row['seconds']:.1f}",
            ]
    return columns, cells


def markdown(results: Mapping[str, Any]) -> str:
    """Return the whole result as a Markdown document."""
    columns, cells = table(results)
    lines = [f"# {results['title']}", "", about(results), "", *_markdown_table(columns, cells)]
    lines += ["", "## Chosen settings", ""]
    lines += _markdown_table(
        ["", "valid " + label(results["metric"]), "tuned"],
        [
            [name, mean_and_std(row["valid"]), f"`{json.dumps(row['tuning']['params'])}`"]
            for name, row in results["rows"].items()
        ],
    )
    for name, sweep in results["sweeps"].items():
        lines += ["", f"## Sweep: {name} ({sweep['row']})", ""]
        lines += _markdown_table(
            [sweep["setting"], f"valid {label(results['metric'])}", label(results["metric"])],
            [
                [json.dumps(value), mean_and_std(valid), mean_and_std(test)]
                for value, valid, test in zip(
                    sweep["values"], sweep["valid"], sweep[results["part"]], strict=True
                )
            ],
        )
    return "\n".join(lines) + "\n"


def about(results: Mapping[str, Any]) -> str:
    """Return a paragraph that says what the table shows."""
    seeds = results["seeds"]
    several = len(_opponents(results)) > 1
    over = "the row named beside them" if several else f"'{results['reference']}'"
    tuning = (
        f"Every row had {results['budget']} trials, the row as it stands being the first, on "
        f"the validation part of seed 0 (fewer where there are fewer points to try)"
        if results["budget"]
        else "No row was tuned"
    )
    return (
        f"Part {results['part']} of split {results['split']}, mean ± standard deviation over "
        f"{seeds} seed{'' if seeds == 1 else 's'}. {tuning}; the {results['part']} part was looked "
        f"at by nothing that was fitted or chosen. Gain, effect size (Cohen's d) and p (paired "
        f"t-test over users, with Holm's correction) are of {label(results['metric'])} against "
        f"{over}; users count once, with the mean over their seeds."
    )


def label(metric: str) -> str:
    """Return what people call a metric.

    >>> label("ndcg@20")
    'NDCG@20'
    """
    name, _, k = metric.partition("@")
    return f"{LABELS.get(name, name)}@{k}"


def mean_and_std(values: Sequence[float]) -> str:
    """Write values as mean ± sample standard deviation."""
    mean, std = spread(values)
    return f"{mean:.4f}" if std is None else f"{mean:.4f} ± {std:.4f}"


def _opponents(results: Mapping[str, Any]) -> set[str]:
    """Return the rows that others were tested against."""
    return {row["against"]["row"] for row in results["rows"].values() if row["against"]}


def _against(against: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """Write the relative gain, the p-value and the effect size."""
    if against is None:
        return "", "", ""
    gain, size = against["relative_gain"], against["effect_size"]
    return (
        "–" if gain is None else f"{100 * gain:+.1f}%",
        f"{against['t_test_holm']:.2g}" if against["t_test_holm"] else "< 1e-300",
        "–" if size is None else f"{size:+.3f}",
    )


def _trials(tuning: Mapping[str, Any]) -> str:
    """Write how many trials a row had, and how many the row it starts from."""
    if tuning["of"]:
        return f"as {tuning['of']}"
    of_base = f" + {tuning['base_trials']} of {tuning['base']}" if tuning["base_trials"] else ""
    return f"{tuning['trials']}{of_base}"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{spread(known)[0]:.3f}" if known else "–"


def _markdown_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

    return [line(columns), "|---" * len(columns) + "|", *map(line, cells)]
