"""Everything that the documentation shows is true: its code runs and its commands exist.

The rules, for README.md and all pages of docs/:

- **```python runs**, block after block, in one namespace a page. It finds what pages talk about:
  every public name of ``neggen``; ``interactions``, ``items``, ``new_items`` and ``records``
  (frames), ``workspace``, ``data`` (described and encoded), ``run`` and ``model`` (a fitted
  ``LinearNegGen``); the files ``items.csv``, ``interactions.csv``, ``images/``; and the workspace
  ``W`` of all that, with the run ``neggen-linear-random-0``.
- **```sh runs**, line by line, in the folder that those files are in; in a ```console block, the
  lines behind ``$``. ``http://127.0.0.1:8001`` is the scripted server. What fails, fails the page.
- **Indented commands are checked, not run**: every ``neggen …`` must be understood by the real
  command line, every file of ``python FILE`` and target of ``make`` must exist.
- **A block with ``title="NAME"``** is a file, written for the blocks after it. ```toml, ```json and
  ```jsonl must be well-formed.
- **What cannot run says why**: ``<!-- not run: needs a GPU -->`` on the line before the block. Its
  commands are checked all the same, its Python is compiled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.main import get_command

import neggen as package
from neggen.cli import app
from neggen.data.readers import READERS
from neggen.generation.backends import BACKENDS
from neggen.models import MODELS
from neggen.negatives import SAMPLERS
from neggen.training import rhythm

if TYPE_CHECKING:
    from conftest import Neggen

from blocks import LANGUAGES, PAGES, ROOT, Block, blocks, typed_commands, words

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
SERVER = "http://127.0.0.1:8001"
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def runs(page: Path) -> list[Block]:
    """Return what is to be run or written of a page."""
    return [
        block
        for block in blocks(page)
        if block.reason is None and (block.language in ("python", "sh", "console") or block.title)
    ]


@pytest.fixture
def names(page_folder: Path) -> dict[str, Any]:
    """What Python on a page finds."""
    from neggen.runs import Run, with_vectors

    run = Run.open("W/runs/neggen-linear-random-0")
    data = with_vectors(run.workspace, run.load_data())
    return {
        "__name__": "page",
        **{name: getattr(package, name) for name in package.__all__},
        "interactions": pl.read_csv("interactions.csv"),
        "items": pl.read_csv("items.csv", schema_overrides={"item_id": pl.String}),
        "new_items": pl.DataFrame({"item_id": ["n1"], "title": ["A striped ceramic mug"]}),
        "records": data.records.filter(pl.col("item_id") == "I").with_columns(item_id=pl.lit("n1")),
        "workspace": run.workspace,
        "run": run,
        "data": data,
        "model": run.load_model(),
    }


@pytest.fixture
def registries() -> Any:
    """Forget what a page registers."""
    kept = [
        (each, dict(each._added), dict(each._classes))
        for each in (MODELS, SAMPLERS, READERS, BACKENDS)
    ]
    modules = set(sys.modules)
    yield
    for registry, added, classes in kept:
        registry._added, registry._classes = added, classes
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(Path.cwd())):
            del sys.modules[name]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(runs(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_code_runs(
    page: Path,
    names: dict[str, Any],
    neggen: Neggen,
    scripted: str,
    registries: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rhythm, "STEPS_TO_VALIDATION", 1)  # so that patience ends sooner
    for block in runs(page):
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            # So that errors name the line of the page.
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(page), "exec"), names)
        else:
            for command in block.commands():
                shell(command.replace(SERVER, scripted), neggen)


def shell(command: str, neggen: Neggen) -> None:
    """Run one line of a shell block."""
    if command.startswith("neggen "):
        neggen(words(command)[1:])
        return
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-euc", command],
        env={**os.environ, "PATH": paths, "PYTHONPATH": str(Path(package.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"


@every_page
def test_commands_exist(page: Path) -> None:
    for line, command in typed_commands(page):
        where = f"{page.relative_to(ROOT)}:{line}: {command}"
        program, *arguments = words(command)
        if program == "neggen":
            problem = misunderstood(arguments)
            assert problem is None, f"{where}\n{problem}"
        elif program == "python" and arguments[0].endswith(".py") and "/" in arguments[0]:
            assert (ROOT / arguments[0]).is_file(), where
        elif program == "make":
            assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), where


def misunderstood(arguments: list[str]) -> str | None:
    """Return why the command line does not understand its arguments, or None if it does."""
    name, *rest = ["cpu" if word.startswith("cuda") else word for word in arguments]
    if name in ("-h", "--help"):
        return None
    if name not in COMMANDS:
        return f"there is no command '{name}'"
    try:
        COMMANDS[name].make_context(name, rest)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        said: str = error.format_message()
        return said
    return None


@every_page
def test_what_is_not_run_says_why_and_is_well_formed(page: Path) -> None:
    for block in blocks(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: is '{block.language}' code that should run?"
        if block.reason is not None:
            assert len(block.reason.split()) >= 3, f"{where}: the reason is too short"
        if block.language == "python":
            compile(block.code, where, "exec")
        elif block.language == "toml":
            tomllib.loads(block.code)
        elif block.language == "json":
            json.loads(block.code)
        elif block.language == "jsonl":
            for line in block.code.splitlines():
                json.loads(line)


def test_a_wrong_command_is_found() -> None:
    assert misunderstood(["train", "W", "--modell", "ease"])
    assert misunderstood(["trian", "W"])
    assert misunderstood(["evaluate"])
    assert misunderstood(["train", "W", "--model", "ease", "--device", "cuda:0"]) is None


def test_blocks_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n<!-- not run: it has no reason -->\n```python\nx = 1\n```\n\n"
        "    neggen train W \\\n        --seed 1 && neggen encode W  # remark\n    other words\n\n"
        '```csv title="a/b.csv"\na\n```\n\n```console\n$ neggen -h\nout\n```\n'
    )
    first, second, third = blocks(page)
    assert (first.reason, first.line, first.code) == ("it has no reason", 5, "x = 1\n")
    assert (second.title, second.reason) == ("a/b.csv", None)
    assert third.commands() == ["neggen -h"]
    train = ["neggen", "train", "W", "--seed", "1"]
    found = [words(command) for _, command in typed_commands(page)]
    assert found == [["neggen", "-h"], train, ["neggen", "encode", "W"]]
