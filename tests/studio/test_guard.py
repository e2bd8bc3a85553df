"""Who is let in to the studio, and what cannot be asked for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from neggen.errors import NegGenError
from neggen.serving.access import given_token as read_token
from neggen.studio.app import serve_studio
from neggen.studio.desk import Desk
from neggen.workspace import Workspace

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def open_one(serve_app, described: Path) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve_app(Workspace.open(described), None), timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def closed(serve_app, described: Path) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve_app(Workspace.open(described), TOKEN), timeout=60) as client:
        yield client


def test_this_machine_alone_needs_no_token(open_one: httpx.Client) -> None:
    found = open_one.get("/")
    assert found.status_code == 200
    assert "gradio" in found.text
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src-attr 'none'" in policy
    elsewhere = open_one.get("/", headers={"Host": "shop.example"})
    assert elsewhere.status_code == 403
    for path in ("/", "/gradio_api/queue/join"):
        foreign = open_one.post(path, json={}, headers={"Origin": "http://shop.example"})
        assert foreign.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/hostname", "/gradio_api/file=workspace.toml",
        "/gradio_api/file/etc/hostname", "/file=/etc/hostname", "/gradio_api/upload",
        "/gradio_api/proxy=http://127.0.0.1:1/", "/gradio_api/vibe-edit", "/gradio_api/call/x",
        "/gradio_api/api/x", "/monitoring", "/docs", "/openapi.json", "/gradio_api/token",
        "/assets/../../../../../../../etc/hostname", "/static/%2e%2e/%2e%2e/%2e%2e/routes.py",
    ],
)  # fmt: skip
def test_no_file_and_nothing_unneeded_is_served(open_one: httpx.Client, path: str) -> None:
    for method in ("GET", "POST"):
        assert open_one.request(method, path).status_code in (403, 404, 405)


def test_pictures_of_the_workspace_are_no_files_either(open_one, described: Path) -> None:
    target = described / "items.parquet"
    assert open_one.get(f"/gradio_api/file={target}").status_code == 404


def test_a_token_lets_in_and_nothing_else_does(closed: httpx.Client) -> None:
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x"):
        found = closed.get(path)
        assert found.status_code == 401
        assert "gradio_config" not in found.text
    assert closed.post("/gradio_api/queue/join", json={}).status_code == 401
    for wrong in ("", "a-token-of-some-lengtH", TOKEN + "x", "é" * 20):
        refused = closed.post("/login", data={"token": wrong})
        assert refused.status_code == 401
        assert "not the token" in refused.text
        assert not closed.cookies
    assert closed.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert closed.get("/", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert closed.get("/", headers={"Cookie": "neggen_studio=wrong"}).status_code == 401
    let_in = closed.post("/login", data={"token": TOKEN})
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/")
    cookie = let_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    page = closed.get("/")
    assert page.status_code == 200
    assert "gradio_config" in page.text


def test_a_proxy_has_to_pass_on_the_name_it_was_asked_for(closed: httpx.Client) -> None:
    asked_for, form = {"Origin": "https://studio.example"}, {"token": TOKEN}
    upstream = {**asked_for, "Host": "127.0.0.1:7860"}
    refused = closed.post("/login", data=form, headers=upstream)
    assert refused.status_code == 403
    assert "proxy_set_header Host $http_host;" in refused.text
    passed_on = {**asked_for, "Host": "studio.example"}
    assert closed.post("/login", data=form, headers=passed_on).status_code == 303


def test_what_is_too_long_is_not_read(open_one: httpx.Client) -> None:
    found = open_one.post("/gradio_api/queue/join", content=b"x" * (2 << 20))
    assert found.status_code == 413
    unknown = open_one.post("/gradio_api/queue/join", content=iter([b"{}"]))
    assert unknown.status_code == 413


def test_other_addresses_need_a_good_token(described: Path, tmp_path: Path) -> None:
    desk = Desk(Workspace.open(described), lambda number: pytest.fail("nobody is asked"))
    with pytest.raises(NegGenError, match=r"Without a token only this machine .* NEGGEN_STUDIO"):
        serve_studio(desk, host="0.0.0.0")
    with pytest.raises(NegGenError, match="could be guessed"):
        serve_studio(desk, host="0.0.0.0", token="short")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NegGenError, match=f"127.0.0.1:{port} cannot be taken"):
            serve_studio(desk, port=port)
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(file, "another") == TOKEN
    assert read_token(None, f" {TOKEN}\n") == TOKEN
    assert read_token(None, "") is None
    with pytest.raises(NegGenError, match="cannot be read"):
        read_token(tmp_path / "none", None)
