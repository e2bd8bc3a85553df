"""The results of a study as files: Markdown, LaTeX, HTML, CSV, JSON, Parquet and plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from neggen.comparison.fitting import Fit
from neggen.comparison.html import html
from neggen.comparison.latex import latex
from neggen.comparison.plots import write_plots
from neggen.comparison.study import Study
from neggen.comparison.summary import per_user
from neggen.comparison.tables import (
    Table,
    chosen_table,
    further_tables,
    main_table,
    tests_table,
)
from neggen.workspace import atomic_path, write_text


def write_results(
    folder: Path, study: Study, results: Mapping[str, Any], fits: Mapping[str, Sequence[Fit]]
) -> None:
    """Write ``results.md``, ``.tex``, ``.html``, ``.csv``, ``.json``, plots and figures by user.

    Args:
        folder: where they go.
        study: what was compared.
        results: from :func:`~neggen.comparison.summary.summarize`.
        fits: the fits of every row, by seed.
    """
    write_text(folder / "results.json", json.dumps(results, indent=1))
    write_text(folder / "results.md", markdown(results))
    write_text(folder / "results.tex", latex(results))
    with atomic_path(folder / "results.csv") as temporary:
        pl.DataFrame(_by_seed(results)).write_csv(temporary)
    tables = [
        per_user(study, found).select(pl.lit(name).alias("row"), pl.all())
        for name, found in fits.items()
    ]
    with atomic_path(folder / "per_user.parquet") as temporary:
        pl.concat(tables).write_parquet(temporary)
    plots = write_plots(folder, results)
    write_text(folder / "results.html", html(results, plots))


def markdown(results: Mapping[str, Any]) -> str:
    """Return the whole result as a Markdown document."""
    main = main_table(results)
    lines = [f"# {_plain(main.title)}", "", main.about, "", *_grid(main)]
    for table in (tests_table(results), *further_tables(results), chosen_table(results)):
        lines += ["", f"## {_plain(table.title)}", ""]
        if table.about:
            lines += [table.about, ""]
        lines += _grid(table)
    return "\n".join(lines) + "\n"


def _by_seed(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a line a row and seed with every figure but times and memory."""
    return [
        {"row": name, "seed": seed, **{key: values[seed] for key, values in figures.items()}}
        for name, row in results["rows"].items()
        for figures in [
            {
                **row["metrics"],
                **row["diversity"],
                **{
                    f"{figure} {part}": values
                    for part, of_part in row["slices"].items()
                    for figure, values in of_part.items()
                },
            }
        ]
        for seed in range(results["seeds"])
    ]


def _grid(table: Table) -> list[str]:
    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in row) + " |"

    return [line(table.columns), "|---" * len(table.columns) + "|", *map(line, table.cells)]


def _plain(text: str) -> str:
    """Return text without line breaks, which would end a line of the table."""
    return " ".join(text.split())
