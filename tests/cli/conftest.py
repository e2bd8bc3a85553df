"""The command line, called in this process or, where signals and exit codes matter, in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import neggen
from neggen.cli import main
from neggen.data.shop import make_shop

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(neggen.__file__).parents[1]),
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed, which must be JSON alone."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    def remark(self) -> str:
        """What it said on standard error, without the frames and line breaks of a terminal."""
        return " ".join(word for word in self.err.split() if word.strip("│╭╮╰╯─"))


Cli = Callable[..., Ended]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Call the command line in this process, in an environment without keys."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["neggen", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def start() -> Callable[..., subprocess.Popen[str]]:
    """Start the command line as a process of its own."""

    def popen(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "neggen.cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    return popen


@pytest.fixture(scope="session")
def finish(start: Callable[..., subprocess.Popen[str]]) -> Cli:
    """Run the command line as a process of its own to its end."""

    def run(*arguments: object) -> Ended:
        process = start(*arguments)
        out, err = process.communicate(timeout=300)
        return Ended(process.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop as somebody would bring it: two CSV files and a folder of pictures."""
    folder = tmp_path_factory.mktemp("source")
    shop = make_shop(items=60, users=60)
    shop.draw(folder / "images")
    shop.items.with_columns(image="images/" + pl.col("image")).write_csv(folder / "items.csv")
    shop.interactions.write_csv(folder / "interactions.csv")
    return folder
