"""Commands that ask a trained model: recommend, similar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neggen.cli.catalogue import DeviceOption, JsonOption
from neggen.cli.learning import RunArgument
from neggen.cli.named import read_ids, read_people
from neggen.cli.output import counted, print_json, print_table, say
from neggen.errors import NegGenError, quoted

if TYPE_CHECKING:
    import polars as pl

    from neggen.data.dataset import Dataset
    from neggen.models.base import Recommender
    from neggen.runs import Run
    from neggen.workspace import Workspace

CandidatesOption = Annotated[
    Path | None, typer.Option(help="A file of item ids; only these are ranked.")
]
ExcludeOption = Annotated[Path | None, typer.Option(help="A file of item ids to leave out.")]
ExcludeItemOption = Annotated[
    list[str] | None, typer.Option(help="An item id to leave out. Repeatable.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="A .parquet, .csv or .jsonl file to write.")
]
OUTPUTS = (".parquet", ".csv", ".jsonl")


def recommend(
    run: RunArgument,
    user: Annotated[
        list[str] | None, typer.Option("--user", "-u", help="A user id. Repeatable.")
    ] = None,
    users_file: Annotated[
        Path | None,
        typer.Option(help="A file of user ids: one a line, or a table with the column user_id."),
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(
            help="Ids of items that somebody the model does not know has used, such as i1,i2. "
            "Repeatable: one person each."
        ),
    ] = None,
    history_file: Annotated[
        Path | None,
        typer.Option(help="The same as a table with the columns user_id and item_id."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 20,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also items the user has used already.")
    ] = False,
    candidates: CandidatesOption = None,
    exclude: ExcludeOption = None,
    exclude_item: ExcludeItemOption = None,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="0: the best scores; 1: items as unlike as can be.")
    ] = 0.0,
    new_items: Annotated[
        Path | None,
        typer.Option(
            help="A workspace of items that came after training; their own texts alone do, if the "
            "model learned from such."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Name the key attributes that speak for each item.")
    ] = False,
    output: OutputOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Recommend items to users, in the ids of your own data.

    To people the model does not know, by what they have used, with --history or --history-file.
    With --new-items, only items that nobody had used yet when the model was trained.
    """
    from neggen.data.store import load_items
    from neggen.runs import Run

    _check_output(output)
    people = read_people(user, users_file, history, history_file)
    opened = Run.open(run)
    model = opened.load_model(device)
    allowed = read_ids(candidates, "item_id") if candidates else None
    left_out = [*(read_ids(exclude, "item_id") if exclude else []), *(exclude_item or [])]
    data: Dataset | None = None
    if new_items is None:
        found = model.recommend(
            people,
            k,
            exclude_seen=not include_seen,
            candidates=allowed,
            exclude=left_out,
            diversity=diversity,
        )
    else:
        if explain:
            raise NegGenError(
                "Only items known from training can be explained; leave out --explain or "
                "--new-items."
            )
        data, found = _new_items(opened, model, new_items, people, k, allowed, left_out, diversity)
    if explain:
        found = _explained(opened, model, found, people)
    if output:
        _write(found, output)
    elif as_json:
        print_json(found.to_dicts())
    else:
        titles = _titles(data or load_items(opened.workspace), found["item_id"])
        print_table(
            ["user", "rank", "item", "title", *(["because of"] if explain else [])],
            [
                [user, str(rank), item, titles[item], *(", ".join(r) for r in reasons)]
                for user, rank, item, _, *reasons in found.iter_rows()
            ],
            title=opened.folder.name,
        )


def similar(
    run: RunArgument,
    item: Annotated[list[str], typer.Option("--item", "-i", help="An item id. Repeatable.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 20,
    candidates: CandidatesOption = None,
    exclude: ExcludeOption = None,
    exclude_item: ExcludeItemOption = None,
    output: OutputOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Say which items are most like an item, by what the model has learned of them."""
    from neggen.data.store import load_items
    from neggen.runs import Run

    _check_output(output)
    opened = Run.open(run)
    found = opened.load_model(device).similar_items(
        item,
        k,
        candidates=read_ids(candidates, "item_id") if candidates else None,
        exclude=[*(read_ids(exclude, "item_id") if exclude else []), *(exclude_item or [])],
    )
    if output:
        _write(found, output)
    elif as_json:
        print_json(found.to_dicts())
    else:
        titles = _titles(load_items(opened.workspace), found["similar_item_id"])
        print_table(
            ["item", "rank", "similar item", "title", "cosine"],
            [
                [one, str(rank), other, titles[other], f"{score:.3f}"]
                for one, rank, other, score in found.iter_rows()
            ],
            title=opened.folder.name,
        )


def _new_items(
    run: Run,
    model: Recommender,
    folder: Path,
    people: list[str] | dict[str, list[str]],
    k: int,
    candidates: list[str] | None,
    exclude: list[str],
    diversity: float,
) -> tuple[Dataset, pl.DataFrame]:
    from neggen.comparison.encoder import KeptEncoder
    from neggen.models.described_items import Described
    from neggen.workspace import Workspace

    if not isinstance(model, Described):
        raise NegGenError(
            f"A {model.name} model cannot rank items that came after training; train neggen or "
            f"neggen-linear."
        )
    data = load_new_items(run, Workspace.open(folder))
    found = model.recommend_new_items(
        data,
        people,
        k,
        candidates=candidates,
        exclude=exclude,
        diversity=diversity,
        encoder=(KeptEncoder(run.workspace, model.config.device) if data.vectors is None else None),
    )
    return data, found


def load_new_items(run: Run, workspace: Workspace) -> Dataset:
    """Load a workspace of new items, encoded as those that a run was trained on.

    Without records they have no vectors yet; a model may go by their own texts, which the encoder
    of the run's workspace then encodes.

    Raises:
        NegGenError: If records have no vectors, or the encoder is another than in training.
    """
    from neggen.data.store import load_dataset
    from neggen.encoding.store import encode_command, encoder_of, reads_of
    from neggen.runs import with_vectors

    data = load_dataset(workspace)
    described = workspace.records_path.is_file()
    encoded = workspace if described else run.workspace
    trained_with = run.manifest.get("encoder") or encoder_of(run.workspace)
    if encoder_of(encoded) != trained_with:
        raise NegGenError(
            f"{encoded.path} is encoded by another text encoder than {run.folder} was trained "
            f"with; run neggen encode {quoted(encoded.path)} with that one."
        )
    reads = run.manifest.get("reads", "descriptions")
    if described and reads != reads_of(workspace):
        raise NegGenError(
            f"{run.folder} was trained on encoded {reads}; run: neggen "
            f"{encode_command(workspace, reads)}"
        )
    return with_vectors(workspace, data) if described else data


def _explained(
    run: Run, model: Recommender, found: pl.DataFrame, people: list[str] | dict[str, list[str]]
) -> pl.DataFrame:
    """Add the key attributes that speak for each pair, strongest first, as ``because``."""
    import polars as pl

    from neggen.models.explain import require_described
    from neggen.models.reasons import strongest_reasons
    from neggen.runs import with_vectors
    from neggen.studio.reasons import explain_run

    require_described(model)
    data = with_vectors(run.workspace, run.load_data())
    users, items = found["user_id"].to_list(), found["item_id"].to_list()
    histories = people if isinstance(people, dict) else None
    reasons = strongest_reasons(explain_run(run, model, data, users, items, histories))
    pairs = zip(users, items, strict=True)
    because = [[reason.value for reason in reasons.get(pair, ())] for pair in pairs]
    return found.with_columns(because=pl.Series(because, dtype=pl.List(pl.String)))


def _titles(data: Dataset, items: pl.Series) -> dict[str, str]:
    from neggen.data.indexing import positions

    named = items.unique()  # a catalogue of half a million takes seconds to name
    places = positions(named, data.item_ids)
    return {
        item: data.item_title(int(at)) if at >= 0 else item  # gone since the run was trained
        for item, at in zip(named, places, strict=True)
    }


def _check_output(path: Path | None) -> None:
    if path and path.suffix not in OUTPUTS:
        raise NegGenError(
            f"{path} has the suffix '{path.suffix}'; lists are written as {', '.join(OUTPUTS)}."
        )


def _write(found: pl.DataFrame, path: Path) -> None:
    import polars as pl

    from neggen.workspace import atomic_path

    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            found.write_parquet(temporary)
        elif path.suffix == ".jsonl":
            found.write_ndjson(temporary)
        else:
            lists = [name for name, kind in found.schema.items() if kind == pl.List]
            found.with_columns(pl.col(lists).list.join("; ")).write_csv(temporary)
    say(f"{path} holds {counted(len(found), 'row')}.")
