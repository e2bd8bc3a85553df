"""The command that finds out what is wrong with an installation, a workspace or an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neggen.cli.catalogue import JsonOption
from neggen.cli.checkup import Note
from neggen.cli.checkup.endpoint import endpoint_checks
from neggen.cli.checkup.installation import installation_checks
from neggen.cli.checkup.workspace import workspace_checks
from neggen.cli.output import console, print_json, print_table
from neggen.errors import NegGenError


def doctor(
    workspace: Annotated[
        Path | None, typer.Argument(help="A workspace to look at as well.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server to ask for its models.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A model there, to try with two short questions; they cost some tokens."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the installation, and a workspace and an endpoint if given.

    Every finding is ok, a note (something worth doing), or FAILS, with the command that mends
    it. Exit code 0: nothing fails; 1: something does; 2: the command cannot be understood.
    """
    if model is not None and base_url is None:
        raise NegGenError("--model needs --base-url: the server that has it.")
    checks = installation_checks(workspace or Path())
    if workspace is not None:
        checks |= workspace_checks(workspace)
    if base_url is not None:
        checks |= endpoint_checks(base_url, model)

    findings: dict[str, tuple[str, str]] = {}
    for name, check in checks.items():
        with console.status(f"Looking at {name}"):
            try:
                text = check()
            except (NegGenError, ImportError, OSError) as error:
                findings[name] = ("FAILS", str(error))
                continue
        if text:
            findings[name] = ("note" if isinstance(text, Note) else "ok", text)
    failed = any(level == "FAILS" for level, _ in findings.values())
    if as_json:
        print_json(
            {
                name: {"ok": level != "FAILS", "level": level.lower(), "finding": text}
                for name, (level, text) in findings.items()
            }
        )
    else:
        rows = [[name, level, text] for name, (level, text) in findings.items()]
        print_table(["", "", "finding"], rows)
    if failed:
        raise typer.Exit(1)
