"""Plots of the measures as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from neggen.quality.preference import QUANTILES
from neggen.workspace import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REAL, NEGATIVE, QUIET = "#2a6f97", "#d1495b", "#9aa5b1"
"""Colors of descriptions, of negatives, and of what they are compared with."""
INK, GRID = "#26323d", "#e3e7eb"
BINS = 40


def write_plots(folder: Path, table: pl.DataFrame, summary: Mapping[str, Any]) -> None:
    """Draw ``lift.png``, ``distances.png`` and, if a run was measured, ``hardness.png``.

    Args:
        folder: where they go.
        table: the items table.
        summary: of the same records.
    """
    figures = {
        "lift": _lift(summary["preference"]),
        "distances": _distances(table, summary["modalities"]),
    }
    if summary["hardness"] is not None:
        figures["hardness"] = _hardness(summary["hardness"], summary["run"])
    (folder / "hardness.png").unlink(missing_ok=True)  # that of another run
    for name, figure in figures.items():
        _save(figure, folder / f"{name}.png")


def _lift(preference: Mapping[str, Mapping[str, Any]]) -> Figure:
    figure, panels = _panels(
        len(preference), "Are items that fit the words used together?", sharey=True
    )
    for axes, (name, side) in zip(panels, preference.items(), strict=True):
        for key, color, label in (
            ("lift_of_others", QUIET, "like another item's negative"),
            ("lift_of_descriptions", REAL, "like the item's description"),
            ("lift", NEGATIVE, "like its negative"),
        ):
            points = side[key]
            places = [QUANTILES.index(point["share_to"]) for point in points]
            axes.plot(places, [point["lift"] for point in points], "o-", color=color, label=label)
        steps = [f"{_percent(low)}–{_percent(high)}" for low, high in pairwise(QUANTILES)]
        axes.set_xticks(range(1, len(QUANTILES)), steps)
        axes.axhline(1, color=INK, linewidth=0.8, linestyle=":")
        axes.set_title(name, loc="left")
        axes.set_xlabel("Pairs of items by rising cosine, percentiles")
        axes.set_ylabel("Used together, times an average pair")
        axes.legend(frameon=False)
    return figure


def _percent(share: float) -> str:
    return f"{round(100 * share, 1):g}"


def _distances(table: pl.DataFrame, modalities: list[str]) -> Figure:
    title = "How far is a negative, and does it read like an item?"
    figure, panels = _panels(2 * len(modalities), title, sharex="col")
    for number, name in enumerate(modalities):
        rows = table.filter(pl.col("modality") == name)
        contrast, cohesion = panels[2 * number], panels[2 * number + 1]
        _histogram(contrast, {"": (rows["contrast"], NEGATIVE)})
        contrast.set_xlabel("Contrast: 1 − cosine of description and negative")
        _histogram(
            cohesion,
            {
                "descriptions": (rows["cohesion_of_description"], REAL),
                "negatives": (rows["cohesion"], NEGATIVE),
            },
        )
        cohesion.set_xlabel("Cohesion: mean cosine to the nearest descriptions of other items")
        cohesion.legend(frameon=False)
        for axes in (contrast, cohesion):
            axes.set_title(name, loc="left")
            axes.set_ylabel("Records")
    return figure


def _histogram(axes: Axes, series: Mapping[str, tuple[pl.Series, str]]) -> None:
    values = {label: column.drop_nulls().to_numpy() for label, (column, _) in series.items()}
    known = [part for part in values.values() if len(part)]
    if not known:
        return
    span = (min(float(part.min()) for part in known), max(float(part.max()) for part in known))
    for label, (_, color) in series.items():
        axes.hist(values[label], BINS, range=span, color=color, alpha=0.65, label=label)


def _hardness(hardness: Mapping[str, Any], run: str) -> Figure:
    figure, (axes,) = _panels(1, f"How hard are negatives for {run}?")
    names = {
        "uniform": "uniform",
        "generated": "generated",
        "mixgcf": "MixGCF",
        "dns": "DNS",
        "alike": "items like the positive",
    }
    bars = {names[key]: value for key, value in hardness["by_sampler"].items()}
    ordered = dict(sorted(bars.items(), key=lambda bar: bar[1]))
    colors = [NEGATIVE if name == "generated" else QUIET for name in ordered]
    drawn = axes.barh(list(ordered), list(ordered.values()), color=colors, height=0.6)
    axes.bar_label(drawn, fmt="%.3f", padding=4, color=INK)
    axes.set_xlabel("σ(−(ŷ⁺ − ŷ⁻)), the weight of the pair in the gradient of BPR")
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.12)
    return figure


def _panels(count: int, title: str, **shared: Any) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(2, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(6.4 * columns, 0.5 + 3.7 * rows), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK)
    panels = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for axes in panels:
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(GRID)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels[:count]


def _save(figure: Figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, dpi=150, format="png")
