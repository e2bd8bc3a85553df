"""A login in MLflow's address is used, and neither kept nor printed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from neggen.errors import NegGenError
from neggen.testing.serving import serve_in_thread
from neggen.tracking.base import TrackedRun
from neggen.training.loop import EpochLog
from neggen.workspace import read_toml

pytest.importorskip("mlflow", reason="needs the extra: neggen[track]")

from neggen.tracking.following import following
from neggen.tracking.mlflow import MLflow


class MLflowServer:
    """What the client asks of an MLflow server, behind HTTP Basic authentication."""

    def __init__(self) -> None:
        self.login = "bob:secret"
        self.url = ""
        self.runs: dict[str, str] = {}
        self.steps: list[int] = []

    def address(self, login: str, path: str = "/team") -> str:
        return self.url.replace("://", f"://{login}@") + path

    async def handle(self, request: web.Request) -> web.Response:
        expected = f"Basic {b64encode(self.login.encode()).decode()}"
        if request.headers.get("Authorization") != expected:
            return web.json_response({"error_code": "UNAUTHENTICATED"}, status=401)
        call = request.path.partition("/mlflow/")[2]
        body = await request.json() if request.method == "POST" else {}
        return web.json_response(self.answer(call, body))

    def answer(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        if call == "experiments/get-by-name":
            return {"experiment": {"experiment_id": "1", "name": "neggen"}}
        if call == "runs/create":
            name = f"r{len(self.runs)}"
            self.runs[name] = "RUNNING"
            return {"run": {"info": {"run_id": name, "run_uuid": name, "experiment_id": "1"}}}
        if call == "runs/update":
            self.runs[body["run_id"]] = body["status"]
            return {"run_info": {"run_id": body["run_id"], "run_uuid": body["run_id"]}}
        if call == "runs/log-batch":
            self.steps += {entry["step"] for entry in body.get("metrics", [])}
        return {}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MLflowServer]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    served, app = MLflowServer(), web.Application()
    app.router.add_route("*", "/{path:.*}", served.handle)
    with serve_in_thread(app) as served.url:
        yield served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "w" / "runs" / "mf"
    made.mkdir(parents=True)
    return made


def interrupted(folder: Path, epoch: int) -> None:
    """Tell of one epoch and be interrupted, as by Ctrl-C."""

    def train() -> None:
        with following(["mlflow"], folder, {"model": "mf"}) as tell:
            tell("mf", EpochLog(epoch))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()


def kept(folder: Path) -> dict[str, str]:
    return read_toml(folder / "tracking.toml")["mlflow"]


def test_a_changed_password_continues_the_run(
    server: MLflowServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address("bob:secret"))
    interrupted(folder, 1)
    assert kept(folder) == {"uri": f"{server.url}/team", "run_id": "r0"}
    server.login = "bob:changed"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address("bob:changed", "/team/"))
    interrupted(folder, 2)
    assert server.runs == {"r0": "KILLED"}
    assert server.steps == [1, 2]
    assert "changed" not in (folder / "tracking.toml").read_text()


def test_a_run_stays_where_it_was_begun(
    server: MLflowServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.login = "nobody:"  # whom the client sends where nobody is named
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address("nobody:"))
    interrupted(folder, 1)
    other = server.address("nobody:", "/another")
    for elsewhere in (other, "http://127.0.0.1:9/team", "sqlite:////team", "team"):
        run = TrackedRun(folder, {}, kept(folder))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
        with pytest.raises(NegGenError, match=f"MLflow at {server.url}/team cannot be used"):
            MLflow(run)  # for want of a login


@pytest.mark.parametrize("login", ["bob:wrong", "bob:w@rong"])
def test_no_error_tells_the_login(
    login: str, server: MLflowServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in (server.address(login), f"http://{login}@127.0.0.1:9/team"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(NegGenError, match="MLflow at http://127") as refused:
            MLflow(TrackedRun(folder, {}, {}))
        assert "bob" not in str(refused.value)
        assert "rong" not in str(refused.value)
