"""The command that goes from the raw data of a recipe to its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neggen.cli.catalogue import DeviceOption
from neggen.cli.compare import RowsOption, SeedsOption
from neggen.errors import NegGenError, quoted

if TYPE_CHECKING:
    from neggen.comparison.source import Source
    from neggen.comparison.study import Study
    from neggen.workspace import Workspace


def run(
    recipe: Annotated[
        Path, typer.Argument(help="A study file with a \\[data] table, such as recipes/….toml.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(envvar="NEGGEN_DATA", help="The folder that the sources are relative to."),
    ] = None,
    into: Annotated[
        Path, typer.Option(help="The folder of workspaces; every source has one in it.")
    ] = Path("workspaces"),
    rows: RowsOption = None,
    seeds: SeedsOption = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that fit at once.")] = 1,
    device: DeviceOption = "cpu",
) -> None:
    """Go from raw data to the table: import, generate, encode, tune, fit and test what is missing.

    What is finished is kept: the same command goes on after an interruption.
    """
    from neggen.cli.compare import compare
    from neggen.comparison.selection import with_rows
    from neggen.comparison.study import Study
    from neggen.workspace import Workspace

    study = Study.read(recipe)
    if rows:
        study = with_rows(study, rows)
    if study.data is None:
        raise NegGenError(
            f"The study {recipe} has no [data] table that names its source; add one, or compare on "
            f"a workspace: neggen compare W {recipe}"
        )
    if data is None:
        raise NegGenError(
            f"{recipe} is about '{study.data.source}'; say where that is with --data DIR or the "
            f"environment variable NEGGEN_DATA."
        )
    place = Workspace(into / study.data.workspace_name)
    _import(study.data, data, place)
    if needy := _needing_vectors(study, place):
        _describe(study.data, data, place, needy, device)
    compare(place.path, recipe, rows=rows, seeds=seeds, jobs=jobs, device=device)


def _import(source: Source, folder: Path, place: Workspace) -> None:
    """Import the source unless the workspace holds it."""
    from neggen.cli.catalogue import import_source

    path = folder / source.source
    if place.manifest_path.is_file() and place.manifest().get("source") == str(path.resolve()):
        return
    if not path.exists():
        raise NegGenError(f"{path} does not exist; --data should be the folder that holds it.")
    import_source(
        path,
        place.path,
        at_most=source.at_most,
        k_core=source.k_core,
        min_rating=source.min_rating,
    )


def _describe(
    source: Source, folder: Path, place: Workspace, needy: list[str], device: str
) -> None:
    """Generate and encode unless it was finished before, which the encoding tells."""
    from neggen.cli.catalogue import encode
    from neggen.cli.generation import generate

    if place.vectors_manifest_path.is_file():
        return
    if source.answers is not None:
        generate(place.path, answers=folder / source.source / source.answers)
    elif not place.records_path.is_file():
        raise NegGenError(
            f"{' and '.join(needy)} need descriptions, and [data] names no recorded answers; name "
            f"some, or run neggen generate {quoted(place.path)} first."
        )
    encode(place.path, device=device)


def _needing_vectors(study: Study, place: Workspace) -> list[str]:
    """Return the rows that learn from descriptions."""
    from neggen.data.store import load_dataset
    from neggen.models import model_class

    data, needy = load_dataset(place), []
    for name, row in study.rows.items():
        cls = model_class(row.model)
        if cls(cls.config_class.build(study.settings(name))).wants_vectors(data):
            needy.append(name)
    return needy
