"""Real servers in processes of their own, and the runs they serve."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import neggen
from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.shop import make_shop
from neggen.data.store import save_dataset
from neggen.runs import evaluate_run, train_run
from neggen.workspace import Workspace

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "NEGGEN_SERVE_TOKEN"},
    "PYTHONPATH": str(Path(neggen.__file__).parents[1]),
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}


def until(happened: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that must happen."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@dataclass
class Server:
    """A server that runs, or is about to."""

    process: subprocess.Popen[str]
    log_path: Path
    url: str = ""

    def wait(self) -> None:
        """Wait until it says where it is."""
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.log_path.read_text()

    def log(self) -> list[dict[str, Any]]:
        """What it has logged, every line of which must be JSON."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    until = staticmethod(until)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=30, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=30, **options)


Serve = Callable[..., Any]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Begin to serve a run on a free port, while a block runs."""

    @contextmanager
    def started(run: Path, *options: object, **environment: str) -> Iterator[Server]:
        log_path = tmp_path_factory.mktemp("server") / "log"
        command = [sys.executable, "-m", "neggen.cli", "serve", run, "--port", 0, "--drain", 0]
        with log_path.open("w") as log:
            process = subprocess.Popen(
                [*map(str, command), *map(str, options)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**ENVIRONMENT, **environment},
            )
            try:
                yield Server(process, log_path)
            finally:
                if process.poll() is None:
                    process.kill()
                process.communicate()

    return started


@pytest.fixture(scope="session")
def serve(start: Serve) -> Serve:
    """Serve a run on a free port while a block runs."""

    @contextmanager
    def served(run: Path, *options: object, **environment: str) -> Iterator[Server]:
        with start(run, *options, **environment) as server:
            server.wait()
            yield server

    return served


def shop(folder: Path) -> Workspace:
    """Import a small shop."""
    place, made = Workspace(folder), make_shop(60, 60)
    data = Dataset.from_frames(made.interactions, made.items.drop("image"))
    save_dataset(place, data, source="the built-in shop")
    return place


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A small shop with a run of a factor model and one of a model without factors."""
    place = shop(tmp_path_factory.mktemp("served") / "w")
    train_run(place, "ease", {}, SplitConfig.build({}), name="ease")
    evaluate_run(train_run(place, "mf", {"epochs": 2, "dim": 8}, SplitConfig.build({}), name="mf"))
    return place


@pytest.fixture(scope="session")
def described_run(encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model that knows descriptions, encoded by the built-in encoder."""
    place = Workspace(shutil.copytree(encoded, tmp_path_factory.mktemp("described") / "w"))
    return train_run(place, "neggen-linear", {}, SplitConfig.build({})).folder


@pytest.fixture(scope="session")
def server(serve: Serve, workspace: Workspace) -> Iterator[Server]:
    """A server of the factor model that many tests ask."""
    with serve(workspace.runs_dir / "mf", "--concurrency", 200) as running:
        yield running
