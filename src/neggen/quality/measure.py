"""Measure the negatives of a workspace and keep the result in its ``quality`` folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.store import is_labeled, load_dataset
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError, quoted
from neggen.negatives.false_negatives import Margins, false_negatives
from neggen.quality.hardness import Hardness, measure_hardness
from neggen.quality.neighbours import K, nearest_items
from neggen.quality.plots import write_plots
from neggen.quality.preference import measure_preference, neighbour_lift, swapped
from neggen.quality.summary import (
    balance,
    diversity_figures,
    filter_figures,
    preference_figures,
    record_figures,
)
from neggen.quality.synonyms import SYNONYM_COSINE, slot_cosines
from neggen.quality.table import items_table
from neggen.quality.texts import stock_answers
from neggen.quality.usable import usable_runs
from neggen.quality.verdicts import verdicts
from neggen.recipe import Recipe
from neggen.runs import Run, finished_runs, with_vectors
from neggen.workspace import Workspace, atomic_path, write_text

PREFERRED = ("neggen", "lightgcn")
"""Models whose run is taken if none is named, in this order; then any other."""


def measure_quality(
    workspace: Workspace,
    run: Run | None = None,
    *,
    seed: int = 0,
    encoder: TextEncoder | None = None,
    on_step: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure every record; write ``items.parquet``, ``summary.json`` and plots.

    Args:
        workspace: generated and encoded.
        run: whose scores and recommendations are measured; by default a finished run on the same
            data, if there is one. Its split says which interactions are training interactions.
        seed: seeds what is sampled, and the split if there is no run.
        encoder: encodes the slot phrases; see :func:`neggen.quality.synonyms.slot_cosines`.
        on_step: called with what is done next.

    Returns:
        What ``summary.json`` holds.

    Raises:
        NegGenError: If there are no records or vectors, or the run belongs to another workspace.
    """
    tell = on_step or (lambda step: None)
    tell("Reading")
    left_out: dict[str, str] = {}
    if run is None:
        run, left_out = _usual_run(workspace)
    else:
        run = _own_run(workspace, run)
    data = with_vectors(workspace, _data(workspace, run, seed))
    assert data.records is not None
    assert data.vectors is not None
    records = data.records.filter(pl.col("item_id").is_in(data.item_ids.implode()))
    vectors = data.vectors
    tell("Encoding slots")
    cosines = slot_cosines(workspace, records, encoder)
    tell("Finding neighbours")
    neighbours = nearest_items(vectors)
    tell("Asking the users")
    preference = measure_preference(data.train, vectors)
    control = measure_preference(data.train, swapped(vectors, seed))
    lift = neighbour_lift(data.train, neighbours)
    margins = Margins()
    false = false_negatives(data.train, vectors, margins)
    filtered = filter_figures(data, vectors, false, margins)
    hardness, diversity = None, None
    if run is not None:
        tell(f"Scoring with {run.folder.name}")
        model = run.load_model()
        if (factors := model.factors()) is not None:
            hardness = measure_hardness(factors, data, neighbours, seed)
        diversity = diversity_figures(model, data, vectors)
    table = items_table(
        data, records, vectors, cosines, neighbours, preference, lift, false, hardness
    )  # fmt: skip
    measures = {
        name: record_figures(table.filter(rows), records.filter(rows))
        for name, rows in {
            **{name: pl.col("modality") == name for name in vectors.modalities},
            "all": pl.lit(True),
        }.items()
    }
    summary: dict[str, Any] = {
        "items": len(data.item_ids),
        "records": len(records),
        "modalities": list(vectors.modalities),
        "split": None if data.split_config is None else data.split_config.name,
        "run": None if run is None else run.folder.name,
        "runs_left_out": left_out,
        "seed": seed,
        "neighbours": K,
        "synonym_cosine": SYNONYM_COSINE,
        "measures": measures,
        "balance": balance({name: measures[name]["distance"] for name in vectors.modalities}),
        "preference": preference_figures(preference, control, vectors),
        "margins": asdict(margins),
        "filter": filtered,
        "hardness": _hardness_figures(hardness, vectors.modalities),
        "diversity": diversity,
        "stock": stock_answers(records).to_dicts(),
    }
    summary["verdicts"] = verdicts(summary)
    tell("Writing")
    with atomic_path(workspace.quality_dir / "items.parquet") as temporary:
        table.write_parquet(temporary)
    write_text(workspace.quality_dir / "summary.json", json.dumps(summary, indent=1))
    write_plots(workspace.quality_dir, table, summary)
    return summary


def worst_records(workspace: Workspace, count: int) -> pl.DataFrame:
    """Return the worst rows of the measured items.

    Raises:
        NegGenError: If nothing was measured yet.
    """
    path = workspace.quality_dir / "items.parquet"
    if not path.is_file():
        raise NegGenError(f"{path} does not exist; run: neggen quality {quoted(workspace.path)}")
    return pl.read_parquet(path).head(count)


def _usual_run(workspace: Workspace) -> tuple[Run | None, dict[str, str]]:
    runs, left_out = usable_runs(workspace, finished_runs(workspace))
    place = {name: position for position, name in enumerate(PREFERRED)}

    def turn(run: Run) -> tuple[bool, int]:
        return not run.holds_out, place.get(run.manifest["model"], len(place))

    usual = min(runs, key=turn, default=None)
    return usual, left_out


def _own_run(workspace: Workspace, run: Run) -> Run:
    if run.workspace.path.resolve() != workspace.path.resolve():
        raise NegGenError(
            f"{run.folder} is not a run of {workspace.path}; name one of {workspace.runs_dir}."
        )
    return run


def _data(workspace: Workspace, run: Run | None, seed: int) -> Dataset:
    if run is not None:
        return run.load_data()
    return load_dataset(workspace, Recipe(seed=seed).split_config(is_labeled(workspace)))


def _hardness_figures(
    hardness: Hardness | None, modalities: Sequence[str]
) -> dict[str, Any] | None:
    if hardness is None:
        return None
    return {
        "by_sampler": hardness.by_sampler,
        "interactions": hardness.interactions,
        "generated_by_modality": {
            name: None if isnan(value) else value
            for name, value in zip(modalities, hardness.by_modality, strict=True)
        },
    }
