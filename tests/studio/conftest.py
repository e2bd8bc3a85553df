"""A small shop taken the whole way: imported, generated, encoded, trained, evaluated."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.shop import make_shop
from neggen.runs import Run, evaluate_run, train_run
from neggen.studio.report import write_report
from neggen.workspace import Workspace, write_text, write_toml

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("popularity", {}),
    ("lightgcn", {"epochs": 2, "dim": 8}),
    ("lightgcn", {"epochs": 2, "dim": 8, "seed": 1}),
    ("ease", {"regularization": 20.0}),
]


@pytest.fixture(scope="session")
def finished(build_workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace's folder; to be read only."""
    folder = tmp_path_factory.mktemp("shop")
    shop = make_shop(60, 40, interactions_per_user=10)
    shop.draw(folder / "pictures")
    data = Dataset.from_frames(shop.interactions, shop.items)
    user = {name: index for index, name in enumerate(data.user_ids)}
    item = {name: index for index, name in enumerate(data.item_ids)}
    shifted = np.array([(user[u], item[i]) for u, i in shop.shifted.iter_rows()], dtype=np.int32)
    workspace = build_workspace(
        folder / "demo", shop.items, shop.interactions, folder / "pictures",
        test_sets={"shifted": shifted},
    )  # fmt: skip
    for model, settings in SETTINGS:
        run = train_run(workspace, model, settings, SplitConfig.build({}))
        evaluate_run(run)
    return workspace.path


@pytest.fixture(scope="session")
def described(described: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workspace of that name, since an app that serves it keeps its journal open."""
    return shutil.copytree(described, tmp_path_factory.mktemp("studio") / "w")


VOID = {"meta", "img"}


class Page(HTMLParser):
    """The elements and visible text of a page; complains of tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def values(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]


@pytest.fixture(scope="session")
def runs_of():
    """A function that opens all runs of a workspace, by name."""
    return lambda workspace: [Run.open(folder) for folder in sorted(workspace.runs_dir.iterdir())]


@pytest.fixture(scope="session")
def page_of():
    """A function that writes a report and reads it: the parsed page, and its HTML."""

    def write(workspace: Workspace, runs, path: Path | None = None, **options):
        path = path or workspace.path / "report.html"
        write_report(workspace, runs, path, **options)
        html = path.read_text(encoding="utf-8")
        return Page(html), html

    return write


@pytest.fixture
def workspace(finished: Path, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace, to be changed at will."""
    return Workspace.open(shutil.copytree(finished, tmp_path / "demo"))


@pytest.fixture(scope="module")
def serve_app() -> Iterator[Callable[[Workspace, str | None], str]]:
    """Serve the review app of a workspace on a port, with a token or none; returns its address."""
    from neggen.studio.app import make_app
    from neggen.studio.desk import Desk

    ends: list[Callable[[], None]] = []

    def start(workspace: Workspace, token: str | None) -> str:
        desk = Desk(workspace, lambda number: pytest.fail("nobody is asked"))
        listening = socket.create_server(("127.0.0.1", 0))
        app = make_app(desk, "Ann", token)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()

        def end() -> None:
            server.should_exit = server.force_exit = True
            thread.join()
            listening.close()

        ends.append(end)
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for end in ends:
        end()


@pytest.fixture
def written_run(tmp_path: Path):
    """Write the files of a run that were never trained, with any figures."""

    def write(model: str, metrics: dict[str, dict[str, float]], **changes: Any) -> Run:
        seed, split_seed = changes.pop("seed", 0), changes.pop("split_seed", 0)
        run = Run(tmp_path / "runs" / f"{model}-{split_seed}-{seed}")
        split = SplitConfig.build({"seed": split_seed}).model_dump()
        manifest = {"model": model, "settings": {"seed": seed}, "split": split, "seconds": 1.5}
        write_toml(run.manifest_path, {**manifest, "content_hash": "c", **changes})
        write_text(run.metrics_path, json.dumps(metrics))
        write_text(run.history_path, "{}")
        return run

    return write
