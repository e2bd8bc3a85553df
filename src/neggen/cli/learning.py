"""Commands about models: train, evaluate, refit."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neggen.cli.catalogue import DeviceOption, JsonOption, WorkspaceArgument, usable
from neggen.cli.output import (
    console,
    counted,
    epochs,
    print_json,
    print_metrics,
    print_table,
    say,
)
from neggen.errors import quoted

if TYPE_CHECKING:
    from neggen.runs import Run
    from neggen.training.loop import EpochLog

RunArgument = Annotated[Path, typer.Argument(help="A run folder, such as W/runs/neggen-random-0.")]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace a run of other data or settings in that folder."),
]

ShareOption = Annotated[
    float | None,
    typer.Option(
        help="Held out, of all interactions or, for cold-items, items; 0.1 by default. For time, "
        "cold-items and popularity-shifted."
    ),
]


class SplitName(StrEnum):
    """How interactions are divided."""

    given = "given"
    random = "random"
    leave_last = "leave-last"
    time = "time"
    cold_items = "cold-items"
    popularity_shifted = "popularity-shifted"


def train(
    workspace: WorkspaceArgument,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model, such as lightgcn; neggen by default. docs/models.md has them all."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the model, such as dim=32. Repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML recipe with model, split, seed and \\[settings].")
    ] = None,
    split: Annotated[
        SplitName | None,
        typer.Option(help="Default: given where the source has labels, else random."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seeds the split and the training.")
    ] = None,
    split_seed: Annotated[
        int | None, typer.Option(min=0, help="Seeds the split alone, to vary only the training.")
    ] = None,
    valid_share: ShareOption = None,
    test_share: ShareOption = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    overwrite: OverwriteOption = False,
    track: Annotated[
        list[str] | None,
        typer.Option(help="Tell tensorboard, mlflow or wandb about the training. Repeatable."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda or cuda:N. Default: the recipe's, else cpu.", callback=usable),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on a workspace; the best weights are chosen on the validation part.

    An interrupted training goes on from its last checkpoint when the same command is given again,
    and ends with the same weights. A finished run is returned as it is. Several processes train it
    together under torchrun: torchrun --nproc-per-node 2 -m neggen.cli train W.
    """
    from neggen.data.store import is_labeled, load_items
    from neggen.generation.record_files import earlier_import
    from neggen.models import model_class
    from neggen.overrides import parse_overrides
    from neggen.recipe import Recipe
    from neggen.run_names import run_name
    from neggen.runs import train_run
    from neggen.tracking.following import following
    from neggen.training.distributed import joined
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    recipe = Recipe.read(config) if config else Recipe()
    recipe = recipe.with_changes(
        {**({"device": device} if device else {}), **parse_overrides(settings or [])},
        model=model,
        split=split.value if split else None,
        seed=seed,
        split_seed=split_seed,
        valid_share=valid_share,
        test_share=test_share,
    )
    parts = recipe.split_config(is_labeled(place))
    if model_class(recipe.model).needs_vectors and (
        remark := earlier_import(place.records_path, load_items(place))
    ):
        say(remark)
    settled = recipe.model_settings
    settings_of_run = model_class(recipe.model).config_class.build(settled)
    folder = place.runs_dir / (name or run_name(recipe.model, settings_of_run, parts))
    about = {
        "model": recipe.model,
        "settings": settings_of_run.identity(),
        "split": parts.model_dump(),
    }
    with (
        joined(settings_of_run.device) as first,
        epochs() as show,
        following((track or []) if first else [], folder, about) as tell,
    ):

        def on_epoch(phase: str, log: EpochLog) -> None:
            show(phase, log)
            tell(phase, log)

        shown = on_epoch if first else None
        run = train_run(
            place,
            recipe.model,
            settled,
            parts,
            name=name,
            overwrite=overwrite,
            on_epoch=shown,
        )
    if not first:
        return
    seconds = run.manifest["seconds"]
    shares: dict[str, float] = run.manifest.get("modality_shares", {})
    if as_json:
        found = {"run": str(run.folder), "seconds": seconds, "valid": run.best_validation}
        print_json({**found, "modality_shares": shares} if shares else found)
        return
    if shares:
        told = ", ".join(f"{name} {share:.4f}" for name, share in shares.items())
        say(f"What validation NDCG@20 loses without each modality: {told}.")
    say(f"{run.folder} is trained ({seconds:.0f} s). Next: neggen evaluate {quoted(run.folder)}")


def evaluate(
    run: RunArgument,
    on: Annotated[
        list[str] | None,
        typer.Option(help="valid, test or the name of a further test set. Repeatable."),
    ] = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Rank all items for every user of the test part (and of further test sets) and measure it.

    On the split cold-items, the new items of the part are ranked among themselves. The second table
    tells what the lists are worth for some items and users, and beside being right.
    """
    from neggen.runs import Run, evaluate_run
    from neggen.tracking.following import tell_figures

    opened = Run.open(run)
    with console.status("Evaluating"):
        results = evaluate_run(opened, on, device)
    if as_json:
        print_json({"run": str(run), "metrics": results})
    else:
        print_metrics(results, title=opened.folder.name)
        _print_beyond(results)
    for part in (part for part, figures in results.items() if figures["recall@20"] == 1):
        _tell_few(opened, part)
    for name in tell_figures(opened, results):
        say(f"{name} has these figures too.")


def refit(
    run: RunArgument,
    name: Annotated[
        str | None, typer.Option(help="Name of the run folder. Default: RUN's with -refit.")
    ] = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Train a run's model again on all interactions, to be used: nothing is held out.

    Settings, the number of epochs and NegGen's λ are those that validated best in RUN, whose
    figures are the ones to go by. An interrupted training goes on when the command is given again.
    """
    from neggen.refitting import refit_run
    from neggen.runs import Run
    from neggen.training.distributed import joined

    opened = Run.open(run)
    with joined(device) as first, epochs() as show:
        shown = show if first else None
        made = refit_run(opened, name=name, overwrite=overwrite, device=device, on_epoch=shown)
    if not first:
        return
    seconds = made.manifest["seconds"]
    if as_json:
        print_json({"run": str(made.folder), "seconds": seconds})
        return
    say(
        f"{made.folder} has learned from everything ({seconds:.0f} s). "
        f"Next: neggen serve {quoted(made.folder)}"
    )


def _print_beyond(results: Mapping[str, Mapping[str, float]]) -> None:
    """Print figures of slices and beyond accuracy, one column a part."""
    from neggen.models.measuring import BEYOND

    labels = {
        "tail/ndcg@20": "NDCG@20 of the tail",
        "cold/ndcg@20": "NDCG@20 of cold items",
        "low-activity/ndcg@20": "NDCG@20 of low-activity users",
        **BEYOND,
    }

    def cell(part: Mapping[str, float], name: str) -> str:
        if name not in part:
            return "–"
        return f"{part[name]:.4f}" if part[name] < 1 else f"{part[name]:,.4g}"

    rows = [
        [label, *(cell(part, name) for part in results.values())]
        for name, label in labels.items()
        if any(name in part for part in results.values())
    ]
    print_table(["slices, and beyond accuracy", *results], rows)


def _tell_few(run: Run, part: str) -> None:
    """Say that a list of 20 holds all that is ranked, if it does, as no model can fail then."""
    from neggen.evaluation.ranking import candidates_of

    data = run.load_data()
    candidates = candidates_of(data.matrix(part), data.train)
    ranked = len(data.item_ids) if candidates is None else int(candidates.sum())
    if ranked <= 20:
        are = "is" if ranked == 1 else "are"
        say(f"Only {counted(ranked, 'item')} {are} ranked on {part}, so @20 holds them all.")
