"""The command that puts a run behind HTTP."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from neggen.errors import from_extra


class IndexName(StrEnum):
    """How the best items are found."""

    auto = "auto"
    exact = "exact"
    hnsw = "hnsw"


def serve(
    run: Annotated[
        Path,
        typer.Argument(help="A run folder, a link to one, or a file with the name of one in it."),
    ],
    host: Annotated[
        str, typer.Option(help="Where to listen; other than loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with the token; else it is NEGGEN_SERVE_TOKEN, if set."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="The folder reloads may take runs from; default: where RUN lies."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow RUN when it leads to another run.")
    ] = False,
    index: Annotated[
        IndexName, typer.Option(help="auto is exact up to --max-exact items, then hnsw.")
    ] = IndexName.auto,
    max_exact: Annotated[
        int, typer.Option(min=1, help="Items up to which auto compares all with a user.")
    ] = 100_000,
    encoder: Annotated[
        bool, typer.Option(help="Load the text encoder for explanations and new items.")
    ] = True,
    threads: Annotated[int, typer.Option(min=1, help="Answers computed at the same time.")] = 2,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Requests under way; more are answered 429.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option(min=0.01, help="Seconds until a request is answered 503.")
    ] = 10.0,
    max_body: Annotated[
        int, typer.Option(min=1024, help="Bytes of a request; longer ones are answered 413.")
    ] = 1_048_576,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(help="A web origin whose pages may ask. Repeatable; none by default."),
    ] = None,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds between SIGTERM and the end, not ready.")
    ] = 2.0,
) -> None:
    """Serve a run over HTTP until SIGTERM; SIGHUP reads RUN anew.

    Prints its address, then logs one JSON object a line to standard error.
    """
    from neggen.serving.settings import ServeSettings, read_token

    with from_extra("serve", "Serving needs further packages"):
        from neggen.serving.server import serve as serve_run
    serve_run(
        ServeSettings.build(
            {
                "run": run,
                "root": root or run.absolute().parent,
                "host": host,
                "port": port,
                "token": read_token(token_file),
                "index": index.value,
                "max_exact": max_exact,
                "encoder": encoder,
                "threads": threads,
                "concurrency": concurrency,
                "timeout": timeout,
                "max_body": max_body,
                "cors_origins": tuple(cors_origin or ()),
                "drain": drain,
                "watch": watch,
            }
        )
    )
