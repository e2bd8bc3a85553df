"""Learning curves as inline SVG that takes its colors from the page."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from neggen.studio.groups import RunGroup

METRIC = "recall@20"
COLORS = 6
"""How many ``--series-N`` colors the style sheet has."""
DASHES = ("-", "--", ":", "-.")
FEW = 4
"""A line through fewer points shows them as dots."""

INK, GRID, SERIES = "#010203", "#010204", "#0102{:02x}"
"""Stand-ins that become variables of the page: matplotlib knows no ``currentColor``."""


@dataclass(frozen=True)
class Curve:
    """One phase of one run.

    Attributes:
        title: the model, and the phase if the model has several.
        color: which ``--series-N`` color, from 0.
        dash: position in ``DASHES``.
        epochs: the epoch logs, as in ``history.json``.
    """

    title: str
    color: int
    dash: int
    epochs: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class LearningCurves:
    """Two figures as SVG and the legend of both: title, color and dash, without repeats."""

    validation: str
    loss: str
    legend: tuple[Curve, ...]


def learning_curves(groups: Sequence[RunGroup]) -> LearningCurves | None:
    """Draw validation recall@20 and loss by epoch of every run that was trained in epochs."""
    curves = [
        Curve(
            title=group.title if len(run.history) == 1 else f"{group.title}: {phase}",
            color=position % COLORS,
            dash=(position // COLORS + phase_number) % len(DASHES),
            epochs=epochs,
        )
        for position, group in enumerate(group for group in groups if _trained(group))
        for run in group.runs
        for phase_number, (phase, epochs) in enumerate(run.history.items())
    ]
    if not curves:
        return None
    return LearningCurves(
        validation=_draw(curves, _validation, "Recall@20 on the validation part", best=True),
        loss=_draw(curves, _loss, "Training loss", best=False),
        legend=tuple({curve.title: curve for curve in curves}.values()),
    )


def _trained(group: RunGroup) -> bool:
    return any(epochs for run in group.runs for epochs in run.history.values())


def _validation(log: Mapping[str, Any]) -> float | None:
    value = (log["valid"] or {}).get(METRIC)
    return None if value is None else float(value)


def _loss(log: Mapping[str, Any]) -> float | None:
    loss: float | None = log["loss"]  # None for epoch 0, the start
    return loss


def _draw(
    curves: Sequence[Curve],
    value: Callable[[Mapping[str, Any]], float | None],
    label: str,
    *,
    best: bool,
) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        for curve in curves:
            points = {log["epoch"]: y for log in curve.epochs if (y := value(log)) is not None}
            (line,) = axes.plot(list(points), list(points.values()), DASHES[curve.dash])
            line.set(color=SERIES.format(16 + curve.color), linewidth=1.6)
            if len(points) < FEW:
                line.set(marker="o", markersize=3)
            kept = [log["epoch"] for log in curve.epochs if log["best"] and log["epoch"] in points]
            if best and kept:
                axes.plot(kept[-1], points[kept[-1]], "o", color=line.get_color(), markersize=6)
        axes.set_xlabel("Epoch", color=INK)
        axes.set_ylabel(label, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(colors=INK, length=0)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(GRID)
        written = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(written, metadata=nothing)  # type: ignore[no-untyped-call]
    return _inline(written.getvalue(), label)


def _inline(svg: str, label: str) -> str:
    """Make a stand-alone SVG fit to stand inside a page.

    No namespaces or metadata (they hold web addresses), ids that differ between figures, colors
    from the page, and a label for screen readers.
    """
    prefix = "".join(character for character in label if character.isalnum())
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}metadata"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name, old in list(element.attrib.items()):
            plain = name.rpartition("}")[2]
            value = f"{prefix}-{old}" if plain == "id" else old
            value = value.replace("url(#", f"url(#{prefix}-")
            if plain == "href":
                value = value.replace("#", f"#{prefix}-", 1)
            del element.attrib[name]
            element.set(plain, _colored(value))
    root.attrib |= {"role": "img", "aria-label": f"{label}, by epoch"}
    del root.attrib["width"], root.attrib["height"]  # the view box is enough, and it may shrink
    return ElementTree.tostring(root, encoding="unicode")


def _colored(value: str) -> str:
    value = value.replace(INK, "currentColor").replace(GRID, "var(--line)")
    for number in range(COLORS):
        value = value.replace(SERIES.format(16 + number), f"var(--series-{number})")
    return value
