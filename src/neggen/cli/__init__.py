"""The command line: one command for every arrow of the data flow, each thin: parse, call, print.

Figures go to standard output (as JSON with ``--json``), progress and remarks to standard error.
"""

from __future__ import annotations

import sys

import typer

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
    quality,
    recommending,
    run,
    serving,
    studio,
)
from neggen.cli.output import fail, say
from neggen.errors import NegGenError

INTERRUPTED = 128 + 2
"""The exit code of what ended by signal 2, Ctrl-C."""

app = typer.Typer(
    name="neggen",
    help="Recommenders that understand items: describe, mask, complete, and learn from the "
    "difference.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("import")(catalogue.import_source)
app.command("generate")(generation.generate)
app.command("journal")(journal.journal)
app.command("encode")(catalogue.encode)
app.command("train")(learning.train)
app.command("evaluate")(learning.evaluate)
app.command("run")(run.run)
app.command("compare")(compare.compare)
app.command("tune")(compare.tune)
app.command("recommend")(recommending.recommend)
app.command("similar")(recommending.similar)
app.command("explain")(explain.explain)
app.command("report")(demo.report)
app.command("quality")(quality.quality)
app.command("export")(exporting.export)
app.command("push")(exporting.push)
app.command("export-data")(exporting.export_data)
app.command("serve")(serving.serve)
app.command("studio")(studio.studio)
app.command("doctor")(doctor.doctor)


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
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            say("Interrupted. What was finished is kept: give the same command again to go on.")
        raise
