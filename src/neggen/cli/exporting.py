"""Commands that hand models and data to other programs: export, push, export-data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from neggen.cli.catalogue import JsonOption, WorkspaceArgument
from neggen.cli.imported import counts
from neggen.cli.learning import RunArgument
from neggen.cli.output import console, print_json, print_table, say
from neggen.errors import quoted


class ModelFormat(StrEnum):
    """What a model can be exported to."""

    parquet = "parquet"
    faiss = "faiss"
    onnx = "onnx"
    hub = "hub"


LicenseOption = Annotated[
    str | None,
    typer.Option(help="The model's license in its card, such as apache-2.0 or cc-by-nc-4.0."),
]


def export(
    run: RunArgument,
    to: Annotated[Path, typer.Option("--to", help="Where to; each format gets a folder in it.")],
    formats: Annotated[
        list[ModelFormat],
        typer.Option(
            "--format",
            help="parquet: vectors of users and items. faiss: an exact index of these. onnx: from "
            "users or histories to the best items. hub: safetensors and a model card. Repeatable.",
        ),
    ],
    hnsw: Annotated[
        bool, typer.Option("--hnsw", help="With faiss: also an approximate index (HNSW).")
    ] = False,
    license: LicenseOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Export a trained model for other programs.

    FAISS and ONNX are run on the spot and must find the model's own best items, else nothing is
    exported.
    """
    from neggen.runs import Run
    from neggen.serving.export import export_run

    opened = Run.open(run)
    with console.status("Exporting"):
        figures = export_run(
            opened,
            to,
            [each.value for each in formats],
            hnsw=hnsw,
            license=license,
            overwrite=overwrite,
        )
    if "hub" in figures and opened.holds_out and not opened.metrics:
        say(f"The model card has no figures; neggen evaluate {quoted(run)} measures them.")
    if as_json:
        print_json({"folder": str(to), "formats": figures})
        return
    rows = [
        [name, str(to / name), ", ".join(f"{key} {value:g}" for key, value in own.items())]
        for name, own in figures.items()
    ]
    print_table(["format", "folder", ""], rows, title=opened.folder.name)


def push(
    run: RunArgument,
    repo: Annotated[str, typer.Option(help="NAME or OWNER/NAME; made if it is not there.")],
    license: LicenseOption = None,
    public: Annotated[
        bool,
        typer.Option("--public", help="Let everybody download it: the model holds who used what."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a trained model and its card to the Hugging Face Hub, private by default.

    The token is read from HF_TOKEN only, another address of the Hub from HF_ENDPOINT.
    """
    from neggen.runs import Run
    from neggen.serving.export import push as upload

    opened = Run.open(run)
    with console.status(f"Pushing to {repo}"):
        address = upload(opened, repo, license=license, public=public)
    if as_json:
        print_json({"run": str(run), "address": address})
    else:
        say(f"{run} is at {address}.")


class DataFormat(StrEnum):
    """What data can be exported to."""

    csv = "csv"
    parquet = "parquet"
    jsonl = "jsonl"
    mmrec = "mmrec"
    recbole = "recbole"
    amazon = "amazon"
    movielens = "movielens"
    matrix = "matrix"


def export_data(
    workspace: WorkspaceArgument,
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    format: Annotated[DataFormat, typer.Option("--format", help="The format of the files.")],
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read the files again and tell whether they hold the same."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a workspace's catalogue, interactions and pictures in a format that others read.

    What the format has no place for is told; what was generated, encoded or trained stays in the
    workspace. neggen import reads the folder again.
    """
    from neggen.data.store import load_dataset
    from neggen.data.writers import same_when_read, write_data
    from neggen.workspace import Workspace

    data = load_dataset(Workspace.open(workspace))
    with console.status(f"Writing {folder}"):
        notes = write_data(data, folder, format.value)
        same = same_when_read(data, folder) if verify else None
    for note in notes:
        say(note)
    if as_json:
        told = {} if same is None else {"same": same}
        print_json({"folder": str(folder), **counts(data), "notes": notes, **told})
        return
    rows = [[name, f"{count:,}"] for name, count in counts(data).items()]
    if same is not None:
        rows.append(["read again", "the same data" if same else "other data, see the notes"])
    print_table([str(folder), ""], rows)
