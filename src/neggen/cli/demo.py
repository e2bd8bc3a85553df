"""Commands that show: the demo on the built-in shop, and the report of any workspace."""

from __future__ import annotations

import time
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from neggen.cli.catalogue import JsonOption, WorkspaceArgument
from neggen.cli.output import console, counting, epochs, generating, print_json, print_metrics, say

QUICK = {"learning_rate": 0.005, "patience": 10}
"""For LightGCN in the demo: as good on validation as the default here, in a third of the time."""
MODELS: dict[str, dict[str, Any]] = {
    "popularity": {},
    "ease": {},
    "lightgcn": QUICK,
    "neggen": {"base": QUICK, "patience": 3},
}


def demo(
    workspace: Annotated[Path, typer.Argument(help="The workspace folder to make.")] = Path(
        "neggen-demo"
    ),
    items: Annotated[int, typer.Option(min=56, help="Items in the shop.")] = 400,
    users: Annotated[int, typer.Option(min=20, help="Users of the shop.")] = 800,
    seed: Annotated[
        int, typer.Option(min=0, help="Seeds the shop, the split and the training.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--open", help="Open the report in a browser at the end.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Walk a built-in shop through every stage, without network, key or language model.

    Draws a shop with pictures, describes every item, masks and completes, encodes, trains
    popularity, EASE, LightGCN and NegGen, compares them, and writes a report.
    """
    from neggen.config import SplitConfig
    from neggen.data.shop import make_shop
    from neggen.data.store import load_dataset, save_dataset
    from neggen.encoding.store import encode
    from neggen.encoding.text import TextEncoder
    from neggen.generation.backends.catalogue import CatalogueBackend
    from neggen.generation.record_files import read_records
    from neggen.generation.run import generate
    from neggen.runs import evaluate_run, train_run
    from neggen.studio.report import write_report
    from neggen.workspace import Workspace

    started = time.monotonic()
    place, split = Workspace(workspace), SplitConfig(seed=seed)
    with console.status(f"Drawing a shop of {items} items"):
        shop = make_shop(items=items, users=users, seed=seed)
        shop.draw(workspace / "source" / "images")
        made = shop.dataset(workspace / "source" / "images")
        save_dataset(place, made, source=f"built-in shop, seed {seed}")
    say(f"A shop of {items} items, {users} users and {len(made.users):,} interactions")

    data = load_dataset(place, split)
    backend = CatalogueBackend(data, seed=seed)
    with generating() as progress:
        summary = generate(place, data, backend, on_progress=progress)
    written = sum(side.valid for side in summary.modalities.values())
    say(f"{written:,} records by {summary.generator}")
    with counting("Encoding") as progress:
        encode(place, data, read_records(place.records_path), TextEncoder(), progress)

    with epochs() as on_epoch:
        runs = {
            model: train_run(place, model, {"seed": seed, **settings}, split, on_epoch=on_epoch)
            for model, settings in MODELS.items()
        }
    with console.status("Evaluating"):
        results = {model: evaluate_run(run) for model, run in runs.items()}
    report_path = workspace / "report.html"
    write_report(place, list(runs.values()), report_path, seed=seed)
    if as_json:
        print_json({"metrics": results, "report": str(report_path)})
    else:
        titles = {
            "test": "Hidden interactions of the same log",
            "shifted": "The same tastes, but background, photo style and brand no longer tell",
        }
        for part, title in titles.items():
            by_model = {model: found[part] for model, found in results.items()}
            print_metrics(by_model, title=title, rivals=True)
    say(f"{time.monotonic() - started:.0f} s. Open {report_path} to see what was written and why.")
    if browser:
        webbrowser.open(report_path.resolve().as_uri())


def report(
    workspace: WorkspaceArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: report.html in the workspace.")
    ] = None,
    cards: Annotated[int, typer.Option(min=1, help="Items to show.")] = 12,
    users: Annotated[int, typer.Option(min=0, help="Users to recommend to.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seeds which items and users are shown.")] = 0,
    browser: Annotated[
        bool, typer.Option("--open", help="Open the report in a browser at the end.")
    ] = False,
) -> None:
    """Write one HTML file that shows the catalogue, what was generated, and who is best."""
    from neggen.runs import finished_runs
    from neggen.studio.report import write_report
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    path = output or place.path / "report.html"
    with console.status("Writing the report"):
        left_out = write_report(
            place, finished_runs(place), path, cards=cards, users=users, seed=seed
        )
    for name, reason in left_out.items():
        say(f"The run {name} is left out: {reason}")
    say(f"{path} is written.")
    if browser:
        webbrowser.open(path.resolve().as_uri())
