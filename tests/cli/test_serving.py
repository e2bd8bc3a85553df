"""What ``neggen serve`` refuses before it serves anybody; serving itself is in tests/serving."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from neggen.config import SplitConfig
from neggen.runs import train_run
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEGGEN_SERVE_TOKEN", raising=False)


def test_others_are_not_served_without_a_token(cli: Cli, tmp_path: Path) -> None:
    ended = cli("serve", tmp_path, "--host", "0.0.0.0", "--port", 0)
    assert ended.code == 2
    assert "NEGGEN_SERVE_TOKEN" in ended.remark()


def test_a_token_that_is_no_token(cli: Cli, tmp_path: Path) -> None:
    ended = cli("serve", tmp_path, "--token-file", tmp_path / "missing")
    assert ended.code == 2
    assert "token file" in ended.remark()


def test_what_is_no_run(cli: Cli, tmp_path: Path) -> None:
    ended = cli("serve", tmp_path / "missing", "--port", 0)
    assert (ended.code, ended.out) == (2, "")
    assert "is not a run" in ended.remark()


def test_a_workspace_is_no_run(cli: Cli, ready: Workspace) -> None:
    run = train_run(ready, "popularity", {}, SplitConfig.build({}))
    ended = cli("serve", ready.path, "--port", 0)
    assert (ended.code, ended.out) == (2, "")
    assert f"its runs are {run.folder.resolve()}." in ended.remark()


def test_an_address_that_is_taken(cli: Cli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = cli("serve", tmp_path, "--port", port)
    assert ended.code == 2
    assert f"127.0.0.1:{port} cannot be taken" in ended.remark()


def test_an_index_that_does_not_suit(cli: Cli, ready: Workspace) -> None:
    run = train_run(ready, "ease", {}, SplitConfig.build({}))
    ended = cli("serve", run.folder, "--port", 0, "--index", "hnsw")
    assert ended.code == 2
    assert "leave --index at auto" in ended.remark()
