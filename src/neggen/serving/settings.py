"""What a server can be told, and where its token comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from neggen.config import Config
from neggen.errors import NegGenError
from neggen.serving.access import SHORTEST_TOKEN, check_host, given_token

TOKEN_VARIABLE = "NEGGEN_SERVE_TOKEN"

IndexKind = Literal["auto", "exact", "hnsw"]


class ServeSettings(Config):
    """How a run is served."""

    run: Path
    """The run folder, a link to one, or a text file that holds the name of one beside it."""
    root: Path
    """The folder that ``/v1/admin/reload`` may take runs from."""
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    """0 takes a free one."""
    token: SecretStr | None = None
    """What clients must send as ``Authorization: Bearer``; without it only loopback is served."""
    index: IndexKind = "auto"
    """``exact`` compares a user with all items, ``hnsw`` searches a FAISS graph of the items;
    ``auto`` is exact up to ``max_exact`` items, where a graph would gain little."""
    max_exact: int = Field(100_000, ge=1)
    least_recall: float = Field(0.95, gt=0, le=1)
    """What recall@20 the graph is searched for, against the exact answer."""
    encoder: bool = True
    """Load the text encoder, which explanations and new items need, where the model can use it."""
    threads: int = Field(2, ge=1)
    """Answers computed at the same time, each by one thread."""
    concurrency: int = Field(64, ge=1)
    """Requests under way at the same time; more are answered 429."""
    timeout: float = Field(10.0, gt=0)
    """Seconds after which a request is answered 503."""
    max_body: int = Field(1_048_576, ge=1024)
    """Length of a request body; a longer one is answered 413."""
    cors_origins: tuple[str, ...] = ()
    """Web origins whose pages may ask; none by default."""
    drain: float = Field(2.0, ge=0)
    """Seconds between "not ready" and the end, in which load balancers look elsewhere."""
    watch: bool = False
    """Follow ``run`` when it points to another run, or when that was trained anew."""


def read_token(file: Path | None) -> SecretStr | None:
    """Return the token from a file, else from the environment, else None.

    Raises:
        NegGenError: If the file cannot be read, or the token is too short or not plain ASCII.
    """
    token = given_token(file, os.environ.get(TOKEN_VARIABLE))
    if token is None:
        return None
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise NegGenError(
            f"{file or f'The environment variable {TOKEN_VARIABLE}'} must hold a token of "
            f"{SHORTEST_TOKEN} or more plain characters; make one with: openssl rand -hex 32"
        )
    return SecretStr(token)


def check_reach(settings: ServeSettings) -> None:
    """Refuse to be open to others without a token.

    Raises:
        NegGenError: If there is no token and the host is not the loopback.
    """
    if settings.token is None:
        check_host(settings.host, TOKEN_VARIABLE)
