"""The command line: one command for every arrow of the data flow, each thin: parse, call, print.

Figures go to standard output (as JSON with ``--json``), progress and remarks to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

import neggen
from neggen.cli import (
    catalogue,
    compare,
    demo,
    doctor,
    explain,
    exporting,
    generation,
    journal,
    learning,
    models,
    quality,
    recommending,
    run,
    runs,
    serving,
    studio,
)
from neggen.cli.output import fail, say
from neggen.errors import NegGenError, first_line

INTERRUPTED = 128 + 2
"""The exit code of what ended by signal 2, Ctrl-C."""

app = typer.Typer(
    name="neggen",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "From a catalogue to vectors": {
        "import": catalogue.import_source,
        "generate": generation.generate,
        "journal": journal.journal,
        "quality": quality.quality,
        "encode": catalogue.encode,
    },
    "Models": {
        "models": models.models,
        "train": learning.train,
        "evaluate": learning.evaluate,
        "runs": runs.runs,
        "refit": learning.refit,
        "recommend": recommending.recommend,
        "similar": recommending.similar,
        "explain": explain.explain,
    },
    "Comparing": {"compare": compare.compare, "tune": compare.tune, "run": run.run},
    "Looking": {
        "demo": demo.demo,
        "report": demo.report,
        "studio": studio.studio,
        "doctor": doctor.doctor,
    },
    "To other systems": {
        "serve": serving.serve,
        "export": exporting.export,
        "push": exporting.push,
        "export-data": exporting.export_data,
    },
}
for panel, commands in PANELS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(neggen.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Say which version this is."
        ),
    ] = False,
) -> None:
    """Recommenders that understand items: describe, mask, complete, and learn from the difference.

    What each command does: neggen COMMAND --help.
    """


def main() -> None:
    """Run the command line; a user's mistake is one sentence and exit code 2."""
    try:
        app()
    except NegGenError as error:
        fail(str(error))
        sys.exit(2)
    except OSError as error:  # a full disk, a missing permission, a file where a folder should be
        fail(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.")
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        from neggen.models.device import lacks_memory

        if not lacks_memory(error):
            raise
        fail(
            f"There is not enough memory ({first_line(error)}); take smaller batches, a smaller "
            "model, or another --device. What was finished is kept."
        )
        sys.exit(2)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            say("Interrupted. What was finished is kept: give the same command again to go on.")
        raise
