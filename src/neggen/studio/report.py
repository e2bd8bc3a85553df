"""The report: one HTML file that shows the catalogue, what was generated, and who is best.

It has no scripts, loads nothing, and treats every text of the catalogue, of an answer and of a run
as untrusted: the template escapes all of them, and a content security policy forbids the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

import neggen
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset
from neggen.encoding.store import load_vectors
from neggen.errors import NegGenError
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.record_files import read_records
from neggen.quality.usable import usable_runs
from neggen.studio.cards import (
    Card,
    Quality,
    RecordView,
    choose_example,
    choose_items,
    make_cards,
    qualities,
)
from neggen.studio.figures import LearningCurves, learning_curves
from neggen.studio.groups import RunGroup, group_runs, split_title
from neggen.studio.pictures import Thumbnails
from neggen.studio.recipe import RunRecipe, commands, run_recipes
from neggen.studio.samples import Sample, make_samples
from neggen.studio.scores import METRICS, ScoreTable, score_tables
from neggen.workspace import Workspace, write_text

if TYPE_CHECKING:
    from neggen.runs import Run


@dataclass(frozen=True)
class Report:
    """Everything the template shows.

    Attributes:
        name: the workspace's folder name.
        manifest: ``workspace.toml``.
        test_sets: names of the further test sets.
        generators: who wrote the descriptions; empty if nothing was generated.
        modelfree: whether all of it was written without a language model.
        example: the item that the idea is explained with, and which of its records.
        scores: one table per evaluated part and split.
        left_out: why runs are not in the report, by name.
        earlier: names of runs that learned from other descriptions than there are now.
        curves: learning curves, or None if nothing was trained in epochs.
        qualities: means over all records, by side.
        cards: items with what was generated for them.
        sample_split: the split behind the samples, in words.
        samples: users with what each model recommends.
        commands: what to type to get here.
        recipes: every run's settings.
        version: neggen's.
    """

    name: str
    manifest: Mapping[str, Any]
    test_sets: tuple[str, ...]
    generators: tuple[str, ...]
    modelfree: bool
    example: tuple[Card, RecordView] | None
    scores: Sequence[ScoreTable]
    left_out: Mapping[str, str]
    earlier: Sequence[str]
    curves: LearningCurves | None
    qualities: Sequence[Quality]
    cards: Sequence[Card]
    sample_split: str
    samples: Sequence[Sample]
    commands: Sequence[str]
    recipes: Sequence[RunRecipe]
    version: str


def write_report(
    workspace: Workspace,
    runs: Sequence[Run],
    path: Path,
    *,
    cards: int = 12,
    users: int = 4,
    seed: int = 0,
) -> dict[str, str]:
    """Write a report on a workspace and some of its runs as one self-contained HTML file.

    What is not there yet (records, vectors, runs, metrics) is left out and said so, as are runs
    that were trained on other data or whose model is not installed.

    Args:
        workspace: an imported workspace.
        runs: finished runs of it, evaluated or not, in the order of the table's rows.
        path: the file to write; its folder is made if need be.
        cards: how many items to show with what was generated for them.
        users: how many users to show recommendations for.
        seed: decides which items and users.

    Returns:
        Why runs were left out, by name.

    Raises:
        NegGenError: If a file of the workspace is damaged, vectors are older than the records, or
            ``path`` cannot be written.
    """
    report = gather(workspace, runs, cards=cards, users=users, seed=seed)
    try:
        write_text(path, render(report))
    except OSError as error:
        raise NegGenError(
            f"The report cannot be written to {path} ({error}); choose another file."
        ) from None
    return dict(report.left_out)


def gather(
    workspace: Workspace, runs: Sequence[Run], *, cards: int, users: int, seed: int
) -> Report:
    """Collect what the report shows; arguments and errors as for :func:`write_report`."""
    if min(cards, users, seed) < 0:
        raise NegGenError(f"cards = {cards}, users = {users}, seed = {seed}: none may be negative.")
    manifest = workspace.manifest("source", "counts", "notes")
    usable, left_out = usable_runs(workspace, runs)
    groups = group_runs(usable)
    data = _load(workspace)
    items_rng, example_rng, users_rng = (np.random.default_rng([seed, part]) for part in range(3))
    thumbnails = Thumbnails(data)
    shown: list[Card] = []
    example, generators = None, ()
    if data.records is not None:
        shown = make_cards(data, choose_items(data, cards, items_rng), thumbnails)
        example = choose_example(data, thumbnails, example_rng)
        generators = tuple(data.records["generator"].unique(maintain_order=True))
    sample_split, samples = "", []
    held_out = [group for group in groups if group.runs[0].holds_out]
    if held_out:
        split = held_out[0].manifests[0]["split"]
        sample_split = split_title(split)
        samples = make_samples(
            _one_run_each(held_out, split),
            held_out[0].runs[0].load_data().replace(records=data.records, vectors=data.vectors),
            users,
            users_rng,
            thumbnails,
        )
    return Report(
        name=workspace.path.resolve().name,
        manifest=manifest,
        test_sets=tuple(data.test_sets),
        generators=generators,
        modelfree=set(generators) == {CatalogueBackend.name},
        example=example,
        scores=score_tables(groups),
        left_out=left_out,
        earlier=_of_earlier_descriptions(usable, data),
        curves=learning_curves(groups),
        qualities=[] if data.records is None else qualities(data),
        cards=shown,
        sample_split=sample_split,
        samples=samples,
        commands=commands(workspace, manifest, generators, groups),
        recipes=run_recipes(groups),
        version=neggen.__version__,
    )


def render(report: Report) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=PackageLoader("neggen.studio"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        report=report, metrics=METRICS, counts=report.manifest["counts"]
    )


def _load(workspace: Workspace) -> Dataset:
    """Load the catalogue with the records and vectors it has."""
    data = load_dataset(workspace)
    if not workspace.records_path.is_file():
        return data
    records = read_records(workspace.records_path)
    if records.is_empty():
        return data
    data = data.replace(records=records)
    encoded = workspace.vectors_manifest_path.is_file()
    return data.replace(vectors=load_vectors(workspace, data, records)) if encoded else data


def _of_earlier_descriptions(runs: Sequence[Run], data: Dataset) -> list[str]:
    if data.vectors is None:
        return []
    held = data.vectors.content_hash
    return [run.folder.name for run in runs if run.manifest.get("vectors_hash", held) != held]


def _one_run_each(groups: Sequence[RunGroup], split: Mapping[str, Any]) -> dict[str, Run]:
    """Return one run of every group that was trained on ``split``, by what to call it."""
    chosen: dict[str, Run] = {}
    for group in groups:
        for run, manifest in zip(group.runs, group.manifests, strict=True):
            if manifest["split"] == split:
                title = group.title if group.title not in chosen else run.folder.name
                chosen.setdefault(title, run)
                break
    return chosen
