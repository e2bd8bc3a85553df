"""The command that opens the review app."""

from __future__ import annotations

import getpass
import os
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neggen.cli.catalogue import WorkspaceArgument
from neggen.cli.output import console, say
from neggen.cli.writers import Writer
from neggen.errors import NegGenError, from_extra, quoted

if TYPE_CHECKING:
    from neggen.generation.backends.base import Backend
    from neggen.workspace import Workspace

TOKEN_VARIABLE = "NEGGEN_STUDIO_TOKEN"
MOST_MEASURED = 30_000
"""Items up to which the studio measures the negatives itself; the time grows with their square."""
AGAIN = "Who writes when another answer is asked for"


def studio(
    workspace: WorkspaceArgument,
    host: Annotated[
        str, typer.Option(help="Where to listen; other than the loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for one that is free.")] = 7860,
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"A file with the token; else it is {TOKEN_VARIABLE}, if set."),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="The name that is kept with decisions. Default: your login.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible server, such as http://localhost:8000/v1.",
            rich_help_panel=AGAIN,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The model to ask for; without one, the built-in catalogue generator.",
            rich_help_panel=AGAIN,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="Sampling temperature of the model.", rich_help_panel=AGAIN),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seeds the catalogue generator.", rich_help_panel=AGAIN)
    ] = 0,
    no_measure: Annotated[
        bool,
        typer.Option("--no-measure", help="Do not measure the negatives before the page opens."),
    ] = False,
    browser: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Review what was written about the items: look, edit, approve, reject, regenerate, undo.

    Every decision is kept in the journal with who made it and when; the next encode and train use
    what was decided. Ctrl-C ends it.
    """
    with from_extra("studio", "The studio needs further packages"):
        from neggen.studio.app import check_access, serve_studio
    from neggen.serving.access import given_token
    from neggen.studio.desk import Desk
    from neggen.workspace import Workspace

    if temperature is not None and not model:
        raise NegGenError("--temperature needs --model.")
    writer = Writer(base_url=base_url, model=model, temperature=temperature, seed=seed)
    token = given_token(token_file, os.environ.get(TOKEN_VARIABLE))
    check_access(host, token)
    place = Workspace.open(workspace)
    if not no_measure:
        _measure(place)
    with console.status("Opening"):
        desk = Desk(place, lambda number: _backend(writer, place, number))
        _ = desk.entries  # whatever is damaged should be said here

    def ready(address: str) -> None:
        say(f"The studio of {place.path} is at {address}; Ctrl-C ends it.")
        if browser:
            webbrowser.open(address)

    serve_studio(
        desk,
        host=host,
        port=port,
        reviewer=_login() if reviewer is None else reviewer,
        token=token,
        on_ready=ready,
    )


def _measure(place: Workspace) -> None:
    """Measure the negatives if that was not done yet, so that the worst can come first."""
    from neggen.quality.measure import measure_quality

    measured = (place.quality_dir / "items.parquet").is_file()
    if measured or not place.records_path.is_file():
        return
    items = place.manifest("counts")["counts"]["items"]
    if items > MOST_MEASURED:
        say(
            f"The negatives are in no particular order, since measuring those of {items:,} items "
            f"takes long; to have the worst come first: neggen quality {quoted(place.path)}"
        )
        return
    try:
        with console.status("Measuring the negatives") as status:
            measure_quality(place, on_step=status.update)
    except NegGenError as error:
        say(f"The negatives are in no particular order, since they were not measured: {error}")


def _backend(writer: Writer, place: Workspace, number: int) -> Backend:
    """Return who answers; the catalogue generator says something else with another seed."""
    if writer.model:
        return writer.language_model("")()
    from neggen.data.store import is_labeled, load_dataset
    from neggen.generation.backends.catalogue import CatalogueBackend
    from neggen.recipe import Recipe

    split = Recipe(seed=writer.seed).split_config(is_labeled(place))
    return CatalogueBackend(load_dataset(place, split), seed=writer.seed + 1 + number)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # a user without a name, as in containers: the page asks for one
