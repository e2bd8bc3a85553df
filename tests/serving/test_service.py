"""Runs are swapped under load without an error, and the server ends without cutting anybody off."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from neggen.models.mf import MF
from neggen.serving.loaded import load_run
from neggen.serving.service import WATCH_SECONDS
from neggen.serving.settings import ServeSettings
from neggen.testing import refuses
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Serve, Server


@pytest.fixture
def runs(workspace: Workspace, tmp_path: Path) -> Path:
    """A folder of runs to be changed at will, with a link to the one in force."""
    folder = tmp_path / "w" / "runs"
    for name in ("mf", "ease"):
        shutil.copytree(workspace.runs_dir / name, folder / name)
    (folder / "current").symlink_to("mf")
    return folder


def served(server: Server) -> str:
    return server.get("/v1/model").json()["run"]


def point(runs: Path, name: str) -> None:
    """Change the link as a deployment would, in one step."""
    (runs / "next").symlink_to(name)
    (runs / "next").replace(runs / "current")


def spoil(run: Path) -> None:
    """Make all scores of a run no numbers."""
    path = run / "model" / "model.safetensors"
    tensors = load_file(path)
    tensors["item_embeddings"][:] = float("nan")
    save_file(tensors, path, {"model": "mf"})


class Load:
    """Clients that ask again and again, and remember every answer."""

    def __init__(self, server: Server, user: str) -> None:
        self._server, self._user = server, user
        self._ended = threading.Event()
        self.answers: list[httpx.Response] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def _ask(self) -> None:
        with self._server.client() as client:
            while not self._ended.is_set():
                body = {"user_id": self._user, "k": 3}
                self.answers.append(client.post("/v1/recommend", json=body))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self._server.until(lambda: len(self.answers) > 20)
        return self

    def __exit__(self, *_: object) -> None:
        count = len(self.answers)
        self._server.until(lambda: len(self.answers) > count + 20)
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def by_version(self) -> dict[str, set[tuple[str, ...]]]:
        """Which lists there were by the version of the model that is said to have made them."""
        assert {answer.status_code for answer in self.answers} == {200}
        lists: dict[str, set[tuple[str, ...]]] = {}
        for answer in self.answers:
            body = answer.json()
            items = tuple(each["item_id"] for each in body["items"])
            lists.setdefault(body["model_version"].split("@")[0], set()).add(items)
        return lists


def test_swapped_under_load_without_an_error(serve: Serve, runs: Path) -> None:
    user = MF.load(runs / "mf" / "model").user_ids[0]
    with serve(runs / "mf") as server:
        with Load(server, user) as load:
            for name in ("ease", "mf", "ease"):
                answer = server.post("/v1/admin/reload", {"run": name})
                assert answer.json()["run"] == name
        lists = load.by_version()
        assert set(lists) == {"mf", "ease"}
        assert all(len(each) == 1 for each in lists.values())  # never a mixture
        assert lists["mf"] != lists["ease"]


def test_a_run_that_is_no_good_is_refused(serve: Serve, runs: Path) -> None:
    user = MF.load(runs / "mf" / "model").user_ids[0]
    for name in ("nan", "cut", "empty"):
        shutil.copytree(runs / "mf", runs / name)
    spoil(runs / "nan")
    weights = runs / "cut" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    (runs / "empty" / "run.toml").write_text("")
    with serve(runs / "mf") as server:
        with Load(server, user) as load:
            for name in ("nan", "cut", "empty"):
                answer = server.post("/v1/admin/reload", {"run": name})
                assert answer.status_code == 409
                assert answer.json()["error"]["code"] == "run_refused"
        assert set(load.by_version()) == {"mf"}
        assert len([line for line in server.log() if line["event"] == "run refused"]) == 3


@pytest.mark.parametrize(
    "name", ["..", ".", "../../outside", "/etc", "a\0b", "é" * 200, "current/../../.."]
)
def test_runs_come_from_the_root_only(serve: Serve, runs: Path, server: Server, name: str) -> None:
    answer = server.post("/v1/admin/reload", {"run": name})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "outside_root")


def test_links_out_of_the_root_are_refused(serve: Serve, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "mf", tmp_path / "outside" / "mf")
    (runs / "link").symlink_to(tmp_path / "outside" / "mf")
    with serve(runs / "mf") as server:
        answer = server.post("/v1/admin/reload", {"run": "link"})
        assert answer.json()["error"]["code"] == "outside_root"
        unknown = server.post("/v1/admin/reload", {"run": "nothing"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_run")


def test_follows_a_link(serve: Serve, runs: Path) -> None:
    with serve(runs / "current", "--watch") as server:
        assert served(server) == "mf"
        point(runs, "ease")
        server.until(lambda: served(server) == "ease")
        point(runs, "nothing")
        point(runs, "mf")
        server.until(lambda: served(server) == "mf")


def test_follows_a_file_at_a_signal(serve: Serve, runs: Path) -> None:
    pointer = runs / "pointer"
    pointer.write_text("mf\n")
    with serve(pointer) as server:
        assert served(server) == "mf"
        pointer.write_text("ease\n")
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: served(server) == "ease")
        pointer.write_bytes(b"\xff")
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: any(line["event"] == "pointer not followed" for line in server.log()))
        assert served(server) == "ease"
        pointer.write_text("mf\n")
        assert server.post("/v1/admin/reload", {}).json()["run"] == "mf"


def slow_to_load(run: Path) -> Path:
    """Make a run load until somebody writes what the returned pipe stands for."""
    config = run / "model" / "config.toml"
    config.rename(run / "config.toml")
    os.mkfifo(config)
    return config


def read_by_now(pipe: Path) -> int:
    """Wait until the run of a pipe is being loaded; return what ends that, when closed."""
    end = time.monotonic() + 60
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads it yet
            assert time.monotonic() < end, "it is not loaded"
            time.sleep(0.02)


@contextmanager
def loading(pipe: Path) -> Iterator[None]:
    """Wait until the run of a pipe is being loaded, and let that go on when the block ends."""
    with os.fdopen(read_by_now(pipe), "w") as file:
        yield
        file.write((pipe.parents[1] / "config.toml").read_text())


def served_runs(server: Server) -> list[str]:
    """Which runs it says it has begun to serve."""
    lines = [line for line in server.log() if line["event"] == "run served"]
    return [line["model_version"].partition("@")[0] for line in lines]


def test_a_signal_during_a_load_is_honoured_after_it(serve: Serve, runs: Path) -> None:
    shutil.copytree(runs / "mf", runs / "slow")
    with serve(runs / "current") as server, ThreadPoolExecutor(1) as pool:
        pipe = slow_to_load(runs / "slow")
        answer = pool.submit(server.post, "/v1/admin/reload", {"run": "slow"})
        with loading(pipe):
            point(runs, "ease")
            server.process.send_signal(signal.SIGHUP)
            assert server.post("/v1/admin/reload", {"run": "ease"}).status_code == 409
        assert answer.result().status_code == 200
        server.until(lambda: served(server) == "ease")
        assert served_runs(server) == ["mf", "slow", "ease"]


def test_a_watched_link_is_loaded_once(serve: Serve, runs: Path) -> None:
    with serve(runs / "current", "--watch") as server:
        for number, name in enumerate(("ease", "mf"), start=1):
            point(runs, name)
            if name == "ease":
                server.process.send_signal(signal.SIGHUP)
            else:
                assert server.post("/v1/admin/reload", {}).json()["run"] == name
            server.until(lambda n=number: len(served_runs(server)) > n)
            time.sleep(2.5 * WATCH_SECONDS)
            assert served_runs(server) == ["mf", "ease", "mf"][: number + 1]
        pipe = slow_to_load(runs / "ease")
        point(runs, "ease")
        with loading(pipe):  # as the link says
            server.process.send_signal(signal.SIGHUP)
            server.get("/healthz")
        server.until(lambda: served(server) == "ease")
        time.sleep(2.5 * WATCH_SECONDS)
        assert served_runs(server) == ["mf", "ease", "mf", "ease"]
        assert server.post("/v1/admin/reload", {"run": "mf"}).status_code == 200  # none under way


def test_a_signal_before_it_is_ready_ends_nothing(start: Serve, runs: Path) -> None:
    pipe = slow_to_load(runs / "mf")
    with start(runs / "current") as server:
        with loading(pipe):
            point(runs, "ease")
            server.process.send_signal(signal.SIGHUP)
        server.wait()
        server.until(lambda: served(server) == "ease")
        assert served_runs(server) == ["mf", "ease"]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0


@pytest.mark.parametrize(("sent", "ended"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_at_once_while_it_is_not_ready(
    start: Serve, runs: Path, sent: int, ended: int
) -> None:
    pipe = slow_to_load(runs / "mf")
    with start(runs / "mf") as server, os.fdopen(read_by_now(pipe), "w"):
        server.process.send_signal(sent)
        assert server.process.wait(timeout=10) == ended


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet", None])
def test_a_damaged_table_of_items_is_named(runs: Path, content: bytes | None) -> None:
    items = runs.parent / "items.parquet"
    if content is None:
        pl.DataFrame({"title": ["of no item"]}).write_parquet(items)
    else:
        items.write_bytes(content)
    settings = ServeSettings.build({"run": runs / "mf", "root": runs})
    with refuses(f"{items} is damaged (", "--overwrite"):
        load_run(runs / "mf", settings)


def test_ends_when_everybody_is_answered(serve: Serve, runs: Path) -> None:
    with serve(runs / "mf", "--drain", 4, "--threads", 1) as server:
        answers: list[httpx.Response] = []
        requests = [{"history": [], "diversity": 0.5}] * 100

        def ask() -> None:
            answers.append(server.post("/v1/recommend/batch", {"requests": requests}))

        thread = threading.Thread(target=ask)
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: server.get("/readyz").status_code == 503)
        assert server.get("/v1/model").status_code == 200  # whoever still comes is served
        thread.start()
        thread.join()
        assert server.process.wait(timeout=30) == 0
        assert len(answers[0].json()["results"]) == 100
        assert "draining" in [line["event"] for line in server.log()]
        assert not [line for line in server.log() if line["level"] == "error"]
