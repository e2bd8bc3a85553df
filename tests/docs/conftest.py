"""A small shop that the pages talk about, and the scripted server that they ask."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import polars as pl
import pytest

from neggen.cli import main
from neggen.data.shop import make_shop
from neggen.testing.chat_server import chat_app
from neggen.testing.serving import serve_in_thread

Neggen = Callable[[list[str]], None]


@pytest.fixture(scope="session")
def scripted() -> Iterator[str]:
    """The address of the server of ``python -m neggen.testing.chat_server``."""
    with serve_in_thread(chat_app()) as url:
        yield url


@pytest.fixture(scope="session")
def neggen() -> Neggen:
    """Call the command line in this process; it must end well."""

    def call(arguments: list[str]) -> None:
        before, said = sys.argv, StringIO()
        sys.argv = ["neggen", *arguments]
        code: object = 0
        try:
            with redirect_stdout(said), redirect_stderr(said):
                main()
        except SystemExit as ended:
            code = ended.code
        finally:
            sys.argv = before
        assert not code, f"neggen {' '.join(arguments)}\nended with {code}:\n{said.getvalue()}"

    return call


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory: pytest.TempPathFactory, neggen: Neggen) -> Path:
    """What pages find where they run: a shop as files, and ``W`` made of it, with one run.

    Its users are u0, u1, … and one called U; its items p0, p1, …, one called I and one called 7.
    """
    folder = tmp_path_factory.mktemp("pages")
    shop = make_shop(items=44, users=60, interactions_per_user=9)
    shop.draw(folder / "images")
    users = {f"u{n:05d}": "U" if n == 59 else f"u{n}" for n in range(60)}
    items = {f"p{n:05d}": {43: "I", 42: "7"}.get(n, f"p{n}") for n in range(60)}
    named = pl.col("item_id").replace(items)
    shop.items.with_columns(named).write_csv(folder / "items.csv")
    log = shop.interactions.with_columns(named, pl.col("user_id").replace(users))
    log.write_csv(folder / "interactions.csv")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for command in ("import . W", "generate W", "encode W", "train W --model neggen-linear"):
            neggen(command.split())
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def page_folder(shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, where one page runs; modules that it writes can be imported."""
    folder = shutil.copytree(shop_folder, tmp_path / "page")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder
