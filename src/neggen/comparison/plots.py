"""The results of a study as PNG files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neggen.comparison.study import slug
from neggen.comparison.summary import spread
from neggen.comparison.wording import label
from neggen.workspace import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REFERENCE, OTHER, VALID = "#2a6f97", "#9aa5b1", "#d1495b"
"""Colors of the reference row, of other rows, and of figures on validation."""
INK, GRID = "#26323d", "#e3e7eb"


def write_plots(folder: Path, results: Mapping[str, Any]) -> dict[str, Path]:
    """Draw ``rows.png``, and ``sweep-NAME.png`` for every sweep.

    Args:
        folder: where they go.
        results: from :func:`~neggen.comparison.summary.summarize`.

    Returns:
        The files by caption.
    """
    import matplotlib as mpl

    plots = {f"{label(results['metric'])} of every row": folder / "rows.png"}
    with mpl.rc_context({"text.parse_math": False}):  # a name may hold dollar signs
        _save(_bars(results), folder / "rows.png")
        for name, sweep in results["sweeps"].items():
            path = plots[f"{name} of {sweep['row']}"] = folder / f"sweep-{slug(name)}.png"
            _save(_lines(name, sweep, results), path)
    return plots


def _bars(results: Mapping[str, Any]) -> Figure:
    rows, metric = results["rows"], results["metric"]
    figure, axes = _panel(results["title"], height=1.2 + 0.42 * len(rows))
    names = list(rows)
    spreads = [spread(rows[name]["metrics"][metric]) for name in names]
    means = [mean for mean, _ in spreads]
    errors = [std or 0.0 for _, std in spreads]
    colors = [REFERENCE if name == results["reference"] else OTHER for name in names]
    axes.barh(
        names, means, xerr=errors if any(errors) else None, color=colors, height=0.62,
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 3},
    )  # fmt: skip
    for place, (mean, error) in enumerate(zip(means, errors, strict=True)):
        axes.annotate(
            f"{mean:.4f}", (mean + error, place), (6, 0), textcoords="offset points", va="center",
            color=INK,
        )  # fmt: skip
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{label(metric)}, {results['part']}, mean ± std over seeds")
    return figure


def _lines(name: str, sweep: Mapping[str, Any], results: Mapping[str, Any]) -> Figure:
    metric, part = label(results["metric"]), results["part"]
    figure, axes = _panel(f"{results['title']}: {name} of {sweep['row']}", height=4.0)
    values = sweep["values"]
    places = np.arange(len(values))
    shown = (("valid", "valid", VALID), ("tested", part, REFERENCE))
    for key, name_of_part, color in shown:
        spreads = [spread(figures) for figures in sweep[key]]
        means = np.array([mean for mean, _ in spreads])
        errors = np.array([std or 0.0 for _, std in spreads])
        axes.fill_between(places, means - errors, means + errors, color=color, alpha=0.15, lw=0)
        axes.plot(places, means, "o-", color=color, label=f"{name_of_part}, mean ± std")
    best = values.index(sweep["best_on_valid"])
    axes.axvline(best, color=INK, linewidth=0.8, linestyle=":", label="best on valid")
    axes.set_xticks(places, [_text(value) for value in values])
    axes.set_xlabel(sweep["setting"])
    axes.set_ylabel(metric)
    axes.legend(frameon=False)
    return figure


def _text(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return value if isinstance(value, str) else json.dumps(value)


def _panel(title: str, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    axes = figure.subplots()
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, dpi=150, format="png")
