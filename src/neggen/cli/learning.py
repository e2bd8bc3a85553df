"""Commands about models: train, evaluate, recommend."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from neggen.cli.catalogue import DeviceOption, JsonOption, WorkspaceArgument
from neggen.cli.output import console, epochs, print_json, print_metrics, print_table, say
from neggen.errors import NegGenError

RunArgument = Annotated[Path, typer.Argument(help="A run folder, such as W/runs/neggen-random-0.")]


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
        str | None, typer.Option(help="popularity, ease, lightgcn or neggen (the default).")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the model, such as dim=32. Repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML recipe with model, split, seed and [settings].")
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
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Train a model on a workspace; the best weights are chosen on the validation part.

    An interrupted training goes on from its last checkpoint when the same command is given again,
    and ends with the same weights. A finished run is returned as it is.
    """
    from neggen.config import parse_overrides
    from neggen.data.store import is_labeled, load_dataset
    from neggen.generation.record_files import earlier_import
    from neggen.models import model_class
    from neggen.recipe import Recipe
    from neggen.runs import train_run
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    recipe = Recipe.read(config) if config else Recipe()
    recipe = recipe.with_changes(
        {"device": device, **parse_overrides(settings or [])},
        model=model,
        split=split.value if split else None,
        seed=seed,
        split_seed=split_seed,
    )
    parts = recipe.split_config(is_labeled(place))
    if model_class(recipe.model).needs_vectors and (
        remark := earlier_import(place.records_path, load_dataset(place))
    ):
        say(remark)
    with epochs() as on_epoch:
        run = train_run(
            place, recipe.model, recipe.model_settings, parts, name=name, on_epoch=on_epoch
        )
    seconds = run.manifest["seconds"]
    if as_json:
        print_json({"run": str(run.folder), "seconds": seconds, "valid": run.best_validation})
    else:
        say(f"{run.folder} is trained ({seconds:.0f} s). Next: neggen evaluate {run.folder}")


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

    On the split cold-items, the new items of the part are ranked among themselves.
    """
    from neggen.runs import Run, evaluate_run

    opened = Run.open(run)
    with console.status("Evaluating"):
        results = evaluate_run(opened, on, device)
    if as_json:
        print_json({"run": str(run), "metrics": results})
    else:
        print_metrics(results, title=opened.folder.name)


def recommend(
    run: RunArgument,
    user: Annotated[list[str], typer.Option("--user", "-u", help="A user id. Repeatable.")],
    new_items: Annotated[
        Path | None,
        typer.Option(help="A workspace of items that came after training, generated and encoded."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 20,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also items the user has used already.")
    ] = False,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Recommend items to users, in the ids of your own data.

    With --new-items, only items that nobody had used yet when the model was trained.
    """
    from neggen.data.store import load_dataset
    from neggen.models.described_items import Described
    from neggen.runs import Run
    from neggen.runs import new_items as load_new_items
    from neggen.workspace import Workspace

    opened = Run.open(run)
    model = opened.load_model(device)
    if new_items is None:
        found = model.recommend(user, k, exclude_seen=not include_seen)
        data = load_dataset(opened.workspace)
    elif isinstance(model, Described):
        data = load_new_items(opened, Workspace.open(new_items))
        found = model.recommend_new_items(data, user, k)
    else:
        raise NegGenError(
            f"A {model.name} model cannot rank items that came after training; train neggen or "
            f"neggen-linear."
        )
    if as_json:
        print_json(found.to_dicts())
        return
    title = {item: data.item_title(position) for position, item in enumerate(data.item_ids)}
    rows = [
        [row["user_id"], str(row["rank"]), row["item_id"], title[row["item_id"]]]
        for row in found.iter_rows(named=True)
    ]
    print_table(["user", "rank", "item", "title"], rows, title=opened.folder.name)
