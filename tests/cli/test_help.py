"""Help is quick: it loads nothing that computes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rich.text import Text
from typer.main import get_command

import neggen
from neggen.cli import app

if TYPE_CHECKING:
    from conftest import Cli

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]
HEAVY = {"torch", "sentence_transformers", "transformers", "scipy", "polars", "openai"}


def test_every_arrow_has_a_command() -> None:
    stages = ["import", "generate", "encode", "train", "evaluate", "recommend", "report"]
    others = [
        "similar",
        "explain",
        "journal",
        "quality",
        "run",
        "compare",
        "tune",
        "demo",
        "doctor",
        "models",
        "refit",
        "runs",
    ]
    away = ["serve", "studio", "export", "push", "export-data"]
    assert sorted([*stages, *others, *away]) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    ended = cli(command, "--help")
    assert ended.code == 0
    assert ended.err == ""
    assert f"neggen {command}" in ended.out
    assert command in cli("-h").out


@pytest.mark.parametrize("command", COMMANDS)
def test_no_help_loses_its_brackets_to_markup(command: str) -> None:
    described = get_command(app).commands[command]  # type: ignore[attr-defined]
    texts = [described.help, *(param.help for param in described.params if param.help)]
    for text in texts:
        assert Text.from_markup(text).plain == text.replace("\\[", "["), text


def test_brackets_defaults_and_models_are_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    train, compare = cli("train", "--help").out, cli("compare", "--help").out
    assert "seed and [settings]." in train
    assert "docs/models.md" in train
    assert "[data] table" in cli("run", "--help").out
    for default in ("else 3.", "else 0: nothing", "else 0: no limit", "else ndcg@20", "else test"):
        assert default in compare


def test_the_version(cli: Cli) -> None:
    assert cli("--version").out == f"{neggen.__version__}\n"


def test_nothing_typed_shows_the_help(cli: Cli) -> None:
    ended = cli()
    assert all(command in ended.out + ended.err for command in COMMANDS)


def test_help_loads_nothing_that_computes() -> None:
    code = f"""
import contextlib, io, sys
from neggen.cli import app
for arguments in [["--help"], *([c, "--help"] for c in {COMMANDS})]:
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        app(arguments, standalone_mode=False)
    assert "Usage" in shown.getvalue()
print(*sys.modules)
"""
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not HEAVY & set(loaded)
