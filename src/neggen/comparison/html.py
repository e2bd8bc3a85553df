"""A study as one HTML file that holds everything: tables, tests, settings and plots.

It has no scripts and loads nothing. The template escapes every text, so names of rows and settings
are shown as they stand, and a content security policy forbids the rest.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import neggen
from neggen.comparison.summary import spread
from neggen.comparison.tables import chosen_table, further_tables, main_table, tests_table
from neggen.comparison.wording import SIGNIFICANT, is_significant, label, mean_and_std, split_of


def html(results: Mapping[str, Any], plots: Mapping[str, Path]) -> str:
    """Return the page.

    Args:
        results: from :func:`~neggen.comparison.summary.summarize`.
        plots: PNG files by caption, which are put into the page.
    """
    environment = Environment(
        loader=PackageLoader("neggen.comparison"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    main = main_table(results)
    return environment.get_template("results.html").render(
        results=results,
        split=split_of(results),
        verdict=_verdict(results),
        main=main,
        bar=main.columns.index(label(results["metric"])),
        bars=_bars(results),
        significant=[is_significant(row) for row in results["rows"].values()],
        significance=SIGNIFICANT,
        further=further_tables(results),
        tests=tests_table(results),
        chosen=chosen_table(results),
        settings={
            name: {key: json.dumps(value) for key, value in row["settings"].items()}
            for name, row in results["rows"].items()
        },
        plots={
            caption: "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
            for caption, path in plots.items()
        },
        version=neggen.__version__,
    )


def _verdict(results: Mapping[str, Any]) -> str:
    """Return a sentence that names the best rows."""
    metric, rows = results["metric"], results["rows"]
    order = sorted(rows, key=lambda name: -spread(rows[name]["metrics"][metric])[0])
    figures = [f"{name} ({mean_and_std(rows[name]['metrics'][metric])})" for name in order[:2]]
    second = f", then {figures[1]}" if len(figures) > 1 else ""
    return f"Best {label(metric)}: {figures[0]}{second}."


def _bars(results: Mapping[str, Any]) -> list[float]:
    """Return how long the bar of every row is, as a share of the longest."""
    means = [spread(row["metrics"][results["metric"]])[0] for row in results["rows"].values()]
    return [mean / max(means) if max(means) else 0.0 for mean in means]
