"""Commands that compare and tune models by one fair protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from neggen.cli.catalogue import DeviceOption, JsonOption, WorkspaceArgument
from neggen.cli.learning import SplitName
from neggen.cli.named import names_in
from neggen.cli.output import console, print_json, print_table, say
from neggen.errors import NegGenError, quoted
from neggen.overrides import flat, override

if TYPE_CHECKING:
    from neggen.comparison.run import Tell

WIDE = 150
"""Columns of the terminal from which on the whole table is shown."""
SeedsOption = Annotated[
    int | None, typer.Option(min=1, help="How many seeds. Default: the study's, else 3.")
]
RowsOption = Annotated[
    list[str] | None,
    typer.Option(help="Only rows of such a name, as 'mf*', and those they need. Repeatable."),
]
SplitOption = Annotated[
    SplitName | None,
    typer.Option(help="Default: given where the source has labels, else random."),
]


def compare(
    workspace: WorkspaceArgument,
    study: Annotated[
        Path | None, typer.Argument(help="A study file, such as recipes/office-warm.toml.")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Instead of a file: models, such as ease,lightgcn,neggen.")
    ] = None,
    negatives: Annotated[
        str | None,
        typer.Option(
            help="With --models: samplers of negatives, such as uniform,dns; every model that "
            "samples is trained with each, and compared with itself under the first."
        ),
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Instead of a file: what each part of NegGen is worth.")
    ] = False,
    rows: RowsOption = None,
    split: SplitOption = None,
    seeds: SeedsOption = None,
    budget: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Trials of every row on validation. Default: the study's, else 0: nothing is "
            "tuned.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="No trial of a row begins after so much tuning. Default: the study's, else 0: no "
            "limit.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What is tuned and tested. Default: the study's, else ndcg@20; also recall, "
            "precision, map, mrr and hit, @5, 10, 20 and 50."
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(help="test, or a further test set. Default: the study's, else test."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="The row that others are compared with. Default: the study's, else the last."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The folder in W/studies. Default: after the file or models.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that fit at once.")] = 1,
    device: DeviceOption = "cpu",
    markdown: Annotated[Path | None, typer.Option(help="Also write the table here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare models on the same splits and seeds, with the same budget and tests of significance.

    The options override what the study file says. Settings are chosen on validation alone. What is
    finished is kept: the same command goes on after an interruption.
    """
    from neggen.comparison.run import run_study
    from neggen.comparison.selection import with_rows
    from neggen.comparison.space import packaged
    from neggen.comparison.study import Study, slug
    from neggen.comparison.tables import main_table
    from neggen.comparison.writing import markdown as as_markdown
    from neggen.workspace import Workspace, write_text

    place = Workspace.open(workspace)
    if [study is not None, models is not None, ablate].count(True) != 1:
        raise NegGenError("Give one of a study file, --models and --ablate.")
    if negatives is not None and models is None:
        raise NegGenError("--negatives goes with --models; in a study file, rows name samplers.")
    given = {
        "split": split and split.value,
        "seeds": seeds,
        "budget": budget,
        "minutes": minutes,
        "metric": metric,
        "part": part,
        "reference": reference,
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if models is not None:
        rows_of = _of_models(names_in(models), names_in(negatives or ""))
        wanted, usual = Study.parse({**rows_of, **changes}), slug(rows_of["title"])
    else:
        path = packaged("ablations.toml") if study is None else study
        wanted, usual = Study.read(path, **changes), slug(path.stem)
    if rows:
        wanted = with_rows(wanted, rows)
    with _progress() as tell:
        results = run_study(place, wanted, name or usual, device=device, jobs=jobs, tell=tell)
    if markdown is not None:
        write_text(markdown, as_markdown(results))
    if as_json:
        print_json(results)
        return
    wide = Console().width >= WIDE
    table = main_table(results, wide=wide)
    # What has no blank is not wrapped.
    cells = [[cell if wide else cell.replace(" ± ", "±") for cell in row] for row in table.cells]
    print_table(table.columns, cells, title=table.title)
    say(table.about)
    say(f"All of it, as one page: {place.studies_dir / (name or usual) / 'results.html'}")


def tune(
    workspace: WorkspaceArgument,
    model: Annotated[str, typer.Argument(help="The model, such as ease.")],
    trials: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 20,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting that is kept, such as dim=32, or sampler=dns, whose own settings are "
            "tuned, too. Repeatable.",
        ),
    ] = None,
    split: SplitOption = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="No trial begins after so long; 0 for no limit.")
    ] = 0,
    metric: Annotated[str, typer.Option(help="What is maximized on validation.")] = "ndcg@20",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Choose a model's settings on the validation part of seed 0; an interrupted search goes on."""
    import json
    from dataclasses import asdict

    from neggen.comparison.study import Study
    from neggen.comparison.tuning import tune as run
    from neggen.data.store import is_labeled
    from neggen.overrides import parse_overrides
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    kept = parse_overrides(settings or [])
    values: dict[str, Any] = {
        "metric": metric,
        "budget": trials,
        "minutes": minutes,
        "rows": {model: {"model": model, "settings": kept}},
    }
    study = Study.parse({**values, "split": split and split.value})
    study = study.on(labeled=is_labeled(place))
    if not study.space(model):
        raise NegGenError(
            f"{model} has nothing to tune by itself, or all of it is set; compare a study file "
            "whose row has a search."
        )
    path = place.studies_dir / f"tune-{model}" / "trials.db"
    with _progress() as tell:
        found = run(
            place,
            study,
            model,
            study.settings(model),
            path,
            device=device,
            on_trial=lambda done, total: tell(f"Tuning {model}", done, total),
        )
    # Weights, a base's too, were chosen by this figure, which is not every model's default.
    said = dict(flat(study.settings(model)))
    chosen_by = {key: said[key] for key in ("metric", "base.metric") if key in said}
    if as_json:
        print_json({**asdict(found), "params": {**chosen_by, **found.params}})
        return
    title = f"{model}: valid {metric} {found.value:.4f} after {found.trials} trials"
    rows = [
        [
            key,
            json.dumps(found.params[key]) if key in found.params else "default",
            f"{found.importance[key]:.2f}" if key in found.importance else "–",
        ]
        for key in study.space(model)
    ]
    print_table(["setting", "best", "importance"], rows, title=title)
    set_here = dict(flat(kept))
    told = {key: value for key, value in chosen_by.items() if key not in set_here} | found.params
    changes = [*(settings or []), *(override(key, value) for key, value in told.items())]
    following = f"neggen train {quoted(workspace)} --model {model}"
    following += f" --split {split.value}" if split else ""
    following += "".join(f" --set {quoted(change)}" for change in changes)
    say(f"{found.seconds:.0f} s. Next: {following}")


def _of_models(models: list[str], samplers: list[str]) -> dict[str, Any]:
    """Return a study of models, those that sample negatives with every sampler."""
    from neggen.config import SampledConfig
    from neggen.models import model_class

    rows: dict[str, dict[str, Any]] = {}
    for model in models:
        if not samplers or not issubclass(model_class(model).config_class, SampledConfig):
            rows[model] = {"model": model}
            continue
        for sampler in samplers:
            rows[f"{model}, {sampler}"] = {
                "model": model,
                "settings": {"sampler": sampler},
                **({} if sampler == samplers[0] else {"against": f"{model}, {samplers[0]}"}),
            }
    for name, row in rows.items():
        base = name.replace("neggen", "lightgcn", 1)  # with the same sampler
        if row["model"] == "neggen" and base in rows:
            row["base"] = base
    title = ", ".join(models) + (f" by {', '.join(samplers)}" if samplers else "")
    return {"title": title, "rows": rows}


@contextmanager
def _progress() -> Iterator[Tell]:
    """Show one bar a kind of work; yields the function that tells how it goes on."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield tell
