"""The command that measures the generated negatives of a workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from neggen.cli.catalogue import JsonOption, WorkspaceArgument
from neggen.cli.output import console, print_json, print_table, say
from neggen.errors import quoted

RECORDS = {
    "locality": {
        "unchanged": "words outside the slots left unchanged",
        "context_share": "share of the words that are outside",
        "slots": "slots a description",
    },
    "cohesive": {
        "cohesion": "cosine to the nearest real descriptions",
        "cohesion_of_descriptions": "  the same of descriptions",
        "duplicates": "duplicates",
        "stock_share": "slots with a stock answer",
        "distinct_1": "distinct-1 of replacements",
        "distinct_1_of_values": "  of the true values",
        "distinct_2": "distinct-2 of replacements",
        "distinct_2_of_values": "  of the true values",
    },
    "contrastive": {
        "contrast": "1 − cosine of description and negative",
        "synonym_share": "slots that say nearly the same",
    },
    "balanced": {"distance": "distance of description and negative"},
}
"""Figures of records by group, and what to call them."""
SAMPLERS = {
    "uniform": "a uniform sample",
    "generated": "the generated negative",
    "mixgcf": "MixGCF",
    "dns": "DNS, the best scored of 16",
    "alike": "items like the positive itself",
}
FILTER = {
    "dropped": "false negatives",
    "dropped_by_half": "  found by half of the users",
    "closer_share_before": "closer, says the other half: of all",
    "closer_share_after": "  of those that stay",
    "top_lift_before": "top lift, says the other half: of all",
    "top_lift_after": "  of those that stay",
}


def quality(
    workspace: WorkspaceArgument,
    run: Annotated[
        Path | None,
        typer.Option(help="The run to measure with. Default: a neggen run, if there is one."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seeds what is sampled.")] = 0,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst items to list.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Measure the generated negatives: are they local, cohesive, contrastive, hard, not false?

    Every record's measures, the summary and plots go to the folder quality of the workspace.
    """
    from neggen.quality.measure import measure_quality, worst_records
    from neggen.runs import Run
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    opened = None if run is None else Run.open(run)
    with console.status("Measuring") as status:
        summary = measure_quality(place, opened, seed=seed, on_step=status.update)
    for name, reason in summary["runs_left_out"].items():
        say(f"The run {name} is left out: {reason}")
    if as_json:
        print_json(summary)
        return
    _print_records(summary)
    _print_preference(summary)
    _print_run(summary, workspace)
    _print_worst(worst_records(place, worst).to_dicts())
    say(f"Every record, worst first: {place.quality_dir / 'items.parquet'}; plots beside it.")


def _print_records(summary: Mapping[str, Any]) -> None:
    sides = summary["modalities"]
    columns = [*sides, "all"] if len(sides) > 1 else sides
    for group, labels in RECORDS.items():
        rows = [
            [label, *(_figure(summary["measures"][side][name]) for side in columns)]
            for name, label in labels.items()
        ]
        if group == "balanced" and summary["balance"] is not None:
            blank = [""] * (len(columns) - 1)
            rows.append(["  least over greatest", *blank, _figure(summary["balance"])])
        _print_group(summary, group, columns, rows)
    if summary["stock"]:
        rows = [
            [
                entry["phrase"],
                entry["modality"],
                str(entry["items"]),
                str(entry["items_with_value"]),
            ]
            for entry in summary["stock"][:10]
        ]
        print_table(["stock answer", "modality", "items", "truly"], rows)


def _print_preference(summary: Mapping[str, Any]) -> None:
    from neggen.quality.preference import QUANTILES

    sides = summary["preference"]
    rows = [
        [
            "closer to other items of the same users",
            *(_figure(s["closer_share"]) for s in sides.values()),
        ]
    ]
    others = [_figure(side["closer_share_of_others"]) for side in sides.values()]
    rows.append(["  so are other items' negatives", *others])
    rows += [
        [label, *(_figure(side[name]) for side in summary["filter"].values())]
        for name, label in FILTER.items()
    ]
    _print_group(summary, "not false", list(sides), rows)
    curves = {
        f"{name}: {label}": {point["share_to"]: point["lift"] for point in side[key]}
        for name, side in sides.items()
        for key, label in (("lift", "negatives"), ("lift_of_descriptions", "descriptions"))
    }
    rows = [
        [
            f"{100 * low:.4g}–{100 * high:.4g}% by cosine",
            *(_figure(curve.get(high)) for curve in curves.values()),
        ]
        for low, high in pairwise(QUANTILES)
    ]
    _print_group(summary, "anti-lift", list(curves), rows)


def _print_run(summary: Mapping[str, Any], workspace: Path) -> None:
    run, hardness, diversity = summary["run"], summary["hardness"], summary["diversity"]
    if hardness is None:
        rows = [[f"needs a run with embeddings: neggen train {quoted(workspace)}", ""]]
    else:
        found = {key: label for key, label in SAMPLERS.items() if key in hardness["by_sampler"]}
        rows = [[label, _figure(hardness["by_sampler"][key])] for key, label in found.items()]
        if len(summary["modalities"]) > 1:
            sides = hardness["generated_by_modality"].items()
            rows += [[f"  the generated {side}", _figure(value)] for side, value in sides]
    _print_group(summary, "hard", [run or ""], rows)
    if diversity is None:
        rows = [[f"needs a run: neggen train {quoted(workspace)}", ""]]
    else:
        rows = [[name, _figure(value)] for name, value in diversity.items()]
    _print_group(summary, "diverse results", [run or ""], rows)


def _print_worst(rows: Sequence[Mapping[str, Any]]) -> None:
    cells = [
        [f"{row['item_id']} ({row['modality']})", row["why"], row["description"], row["negative"]]
        for row in rows
    ]
    if cells:
        print_table(["worst items", "why", "is", "is not"], cells)


def _print_group(
    summary: Mapping[str, Any], group: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    print_table([group, *columns], rows)
    if group in summary["verdicts"]:
        typer.echo(f"{summary['verdicts'][group]}\n")


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
