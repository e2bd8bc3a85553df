"""Who may ask, how much, and how many at once; what is counted and logged."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from neggen.models.mf import MF
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Serve, Server

TOKEN = "a-token-nobody-else-knows"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@contextmanager
def unfinished(server: Server, length: int) -> Iterator[socket.socket]:
    """Announce a body and send one byte of it."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}"
        connection.sendall(f"{head}\r\nContent-Type: application/json\r\n\r\n{{".encode())
        yield connection


def samples(server: Server, **options) -> dict[tuple[str, ...], float]:
    """Return every sample of /metrics by its name and the values of its labels."""
    text = server.get("/metrics", **options).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def versions(server: Server) -> dict[str, str | None]:
    """Return by route which model the log says has answered last."""
    lines = [line for line in server.log() if line["event"] == "request"]
    return {line["route"]: line["model_version"] for line in lines}


@pytest.fixture(scope="module")
def narrow(serve: Serve, workspace: Workspace) -> Iterator[Server]:
    """A server of which little may be asked."""
    limits = ["--max-body", 2000, "--timeout", 5, "--concurrency", 2]
    origin = ["--cors-origin", "https://shop.example"]
    with serve(workspace.runs_dir / "mf", *limits, *origin) as running:
        yield running


def test_only_the_token_opens(serve: Serve, workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    user = MF.load(workspace.runs_dir / "mf" / "model").user_ids[0]
    body = {"user_id": user, "k": 3}
    with serve(workspace.runs_dir / "mf", "--token-file", file) as server:
        for headers in ({}, bearer("wrong"), bearer(TOKEN[:-1]), {"Authorization": TOKEN}):
            answer = server.post("/v1/recommend", body, headers=headers)
            assert code(answer) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            for path in ("/v1/model", "/metrics", "/v1/items/x", "/nothing"):
                assert server.get(path, headers=headers).status_code == 401
        assert server.post("/v1/admin/reload", {"run": "ease"}).status_code == 401
        assert server.get("/healthz").status_code == server.get("/readyz").status_code == 200
        allowed = server.post("/v1/recommend", body, headers=bearer(TOKEN))
        assert len(allowed.json()["items"]) == 3
        # With a token, the host may be called what it will.
        assert server.get("/v1/model", headers={**bearer(TOKEN), "Host": "shop"}).status_code == 200

        log = server.log_path.read_text()
        assert TOKEN not in log
        assert user not in log
        assert {line["status"] for line in server.log() if "status" in line} == {200, 401}


def test_pages_of_other_sites_cannot_ask(server: Server) -> None:
    assert code(server.get("/v1/model", headers={"Host": "evil.example"})) == (403, "forbidden")
    assert server.get("/v1/model", headers={"Host": "localhost:1"}).status_code == 200
    for origin in ("https://shop.example", "http://localhost:1", "null", ""):
        headers = {"Origin": origin}
        answer = server.post("/v1/admin/reload", {}, headers=headers)
        assert code(answer) == (403, "forbidden")
        assert "access-control-allow-origin" not in answer.headers
        assert code(server.get("/v1/model", headers=headers)) == (403, "forbidden")
    assert server.get("/v1/model", headers={"Origin": server.url}).status_code == 200


def test_origins_that_were_named_may_ask(narrow: Server) -> None:
    allowed = narrow.get("/v1/model", headers={"Origin": "https://shop.example"})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    other = narrow.get("/v1/model", headers={"Origin": "https://evil.example"})
    assert code(other) == (403, "forbidden")
    assert "access-control-allow-origin" not in other.headers


def test_every_origin_may_be_named(serve: Serve, workspace: Workspace) -> None:
    with serve(workspace.runs_dir / "mf", "--cors-origin", "*") as server:
        headers = {"Origin": "https://shop.example"}
        assert server.get("/v1/model", headers=headers).status_code == 200


@pytest.mark.parametrize("given", [None, "", "text/plain", "application/x-www-form-urlencoded"])
def test_what_a_form_of_any_site_could_send_is_refused(server: Server, given: str | None) -> None:
    headers = {} if given is None else {"Content-Type": given}
    for path in ("/v1/admin/reload", "/v1/recommend"):
        answer = httpx.post(f"{server.url}{path}", content=b'{"history": []}', headers=headers)
        assert code(answer) == (415, "unsupported_media_type")
        assert code(httpx.post(f"{server.url}{path}")) == (415, "unsupported_media_type")
    for given in ("application/json", "Application/JSON; charset=utf-8", "application/a.b+json"):
        headers = {"Content-Type": given}
        answer = httpx.post(
            f"{server.url}/v1/recommend", content=b'{"history": []}', headers=headers
        )
        assert answer.status_code == 200


def test_bodies_have_a_limit_announced_or_not(narrow: Server) -> None:
    fits = {"history": [], "exclude": ["x" * 200] * 5, "ignore_unknown": True}
    large = b'{"history": [], "k": 1, "exclude": ["' + b"x" * 5000 + b'"]}'
    headers = {"Content-Type": "application/json"}
    with narrow.client() as client:
        assert client.post("/v1/recommend", json=fits).status_code == 200
        announced = client.post("/v1/recommend", content=large, headers=headers)
        assert code(announced) == (413, "too_large")
        pieces = (large[start : start + 500] for start in range(0, len(large), 500))
        chunked = client.post("/v1/recommend", content=pieces, headers=headers)
        assert "content-length" not in chunked.request.headers
        assert code(chunked) == (413, "too_large")
        assert client.post("/v1/recommend", json=fits).status_code == 200
    with unfinished(narrow, length=9_999_999) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_arrive(narrow: Server) -> None:
    with unfinished(narrow, length=9) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
    assert narrow.get("/v1/model").status_code == 200


def test_no_more_than_so_many_at_once(narrow: Server) -> None:
    with unfinished(narrow, length=9), unfinished(narrow, length=9):
        narrow.until(lambda: narrow.get("/v1/model").status_code == 429)
        answer = narrow.get("/v1/model")
        assert code(answer) == (429, "too_many_requests")
        assert answer.headers["Retry-After"] == "1"
        assert narrow.get("/healthz").status_code == 200
    narrow.until(lambda: narrow.get("/v1/model").status_code == 200)
    narrow.until(lambda: sum(line.get("status") == 499 for line in narrow.log()) == 2)


def test_what_takes_too_long_is_given_up(serve: Serve, workspace: Workspace) -> None:
    with serve(workspace.runs_dir / "mf", "--timeout", 0.01, "--threads", 1) as server:
        requests = [{"history": [], "diversity": 0.5}] * 100
        answer = server.post("/v1/recommend/batch", {"requests": requests})
        assert code(answer) == (503, "unavailable")
        assert answer.headers["Retry-After"] == "1"


def test_requests_have_ids(server: Server) -> None:
    given = server.get("/healthz", headers={"X-Request-ID": "order-7.b"})
    assert given.headers["X-Request-ID"] == "order-7.b"
    made = [server.get("/healthz", headers={"X-Request-ID": "a b"}) for _ in range(2)]
    assert len({answer.headers["X-Request-ID"] for answer in made} | {"a b"}) == 3


def test_metrics_and_logs(serve: Serve, workspace: Workspace) -> None:
    user = MF.load(workspace.runs_dir / "mf" / "model").user_ids[0]
    with serve(workspace.runs_dir / "mf", "--index", "hnsw") as server:
        for _ in range(3):
            server.post("/v1/recommend", {"user_id": user})
        server.post("/v1/recommend", {"user_id": "nobody"})
        server.get("/v1/items/secret-item")
        server.get("/secret/path")
        version = server.get("/v1/model").json()["version"]
        found = samples(server)
        recommend, item = "/v1/recommend", "/v1/items/{item_id:path}"
        assert found["neggen_requests_total", recommend, "200"] == 3
        assert found["neggen_requests_total", recommend, "404"] == 1
        assert found["neggen_requests_total", item, "404"] == 1
        assert found["neggen_requests_total", "unmatched", "404"] == 1
        assert found["neggen_request_seconds_count", recommend] == 4
        assert found["neggen_request_seconds_bucket", "+Inf", recommend] == 4
        assert found["neggen_requests_in_flight",] == 1  # this one
        assert found["neggen_model_loads_total", "served"] == 1
        assert found["neggen_index_recall",] == 1
        assert found["neggen_model_info", "hnsw", "mf", version] == 1

        text = server.log_path.read_text()
        assert not [word for word in (user, "nobody", "secret") if word in text]
        first = next(line for line in server.log() if line["event"] == "request")
        assert {*first} >= {"time", "level", "request_id", "method", "milliseconds"}
        assert (first["route"], first["status"]) == (recommend, 200)
        assert first["model_version"] == version


def test_the_log_names_the_model_that_answered(serve: Serve, workspace: Workspace) -> None:
    body = b'{"history": [], "k": 1}'
    with serve(workspace.runs_dir / "mf") as server:
        with unfinished(server, length=len(body)) as connection:
            server.until(lambda: samples(server)["neggen_requests_in_flight",] == 2)
            assert server.post("/v1/admin/reload", {"run": "ease"}).status_code == 200
            connection.sendall(body[1:])
            answer = HTTPResponse(connection)
            answer.begin()
            assert json.load(answer)["model_version"].startswith("ease@")
        server.until(lambda: "/v1/recommend" in versions(server))
        found = versions(server)
        assert found["/v1/recommend"].startswith("ease@")
        assert found["/v1/admin/reload"].startswith("ease@")
        assert found["/metrics"] is None, "it asked no model"


def test_many_clients_at_once(server: Server, workspace: Workspace) -> None:
    """Every answer belongs to its request, in whatever thread it was computed."""
    model = MF.load(workspace.runs_dir / "mf" / "model")

    def ask(user: str) -> list[str]:
        answer = server.post("/v1/recommend", {"user_id": user, "k": 5}).json()
        return [each["item_id"] for each in answer["items"]]

    users = model.user_ids.to_list() * 2
    expected = model.recommend(users, 5)["item_id"].to_list()
    with ThreadPoolExecutor(8) as pool:
        assert [item for items in pool.map(ask, users) for item in items] == expected
