"""What the doctor finds at an endpoint, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from neggen.cli.checkup import Note
from neggen.cli.checkup.endpoint import endpoint_checks
from neggen.errors import NegGenError
from neggen.testing.chat_server import MODEL, chat_app
from neggen.testing.serving import serve_in_thread

if TYPE_CHECKING:
    from conftest import Cli

KEY = "sk-0123456789"


@pytest.fixture(scope="module")
def scripted() -> Iterator[str]:
    """A server that takes pictures and keeps to the schema."""
    with serve_in_thread(chat_app()) as url:
        yield f"{url}/v1"


def findings(url: str, model: str | None = None) -> dict[str, str]:
    """Return what every check says, with its level before it where it is not well."""
    found = {}
    for name, check in endpoint_checks(url, model).items():
        try:
            text = check()
        except NegGenError as error:
            text = f"FAILS: {error}"
        found[name] = f"note: {text}" if isinstance(text, Note) else text
    return found


def test_a_good_server_is_good(cli: Cli, scripted: str) -> None:
    ended = cli("doctor", "--base-url", scripted, "--model", MODEL, "--json")
    found = ended.json()
    assert found["endpoint"]["finding"].startswith(f"{MODEL} (")
    assert found["schema"]["level"] == "ok"
    assert found["schema"]["finding"].endswith("in the form of the JSON schema")
    assert found["pictures"]["finding"].startswith("taken; of a red one it says")
    assert "tells none" in found["limits"]["finding"]


def test_without_a_model_nothing_is_asked(cli: Cli, server) -> None:
    found = findings(server.url)
    assert list(found) == ["endpoint"]
    assert found["endpoint"].endswith("name one with --model to try it")
    assert server.calls == []
    assert cli("doctor", "--model", "m").code == 2


def test_an_unknown_model_fails_with_the_nearest_one(scripted: str) -> None:
    found = findings(scripted, "scriptad")["endpoint"]
    assert found.startswith("FAILS")
    assert f"offers no model 'scriptad' but {MODEL}. Did you mean" in found


def test_a_server_that_ignores_the_schema_is_noted(server) -> None:
    server.reply = lambda number, body: server.say("A mug is a cup with a handle.")
    found = findings(server.url, "tiny")["schema"]
    assert found.startswith("note: answered in")
    assert "ignores the JSON schema" in found


def test_a_server_that_refuses_schema_and_pictures_is_noted(server) -> None:
    def reply(number: int, body: dict[str, Any]) -> Any:
        if body.get("response_format", {}).get("type") == "json_schema":
            return 400, {"error": {"message": "unsupported", "param": "response_format"}}
        if any(part["type"] == "image_url" for part in body["messages"][-1]["content"]):
            return 400, {"error": {"message": "This model does not take images."}}
        return server.say({"description": "A mug."})

    server.reply = reply
    found = findings(server.url, "tiny")
    assert found["schema"].startswith("note")
    assert "refuses response_format json_schema: neggen asks by json_object" in found["schema"]
    assert found["pictures"].startswith("note: refused")
    assert "does not take images" in found["pictures"]
    assert found["pictures"].endswith("--modality text")


def test_limits_are_told_as_options(server) -> None:
    async def answer(request: web.Request) -> web.Response:
        headers = {"x-ratelimit-limit-requests": "500", "X-RateLimit-Limit-Tokens": "30000"}
        status, body = server.say({"description": "Something red."})
        return web.json_response(body, status=status, headers=headers)

    server.reply = lambda number, body: answer
    found = findings(server.url, "tiny")
    assert found["limits"] == "it allows: --requests-per-minute 500 --tokens-per-minute 30000"
    assert '{"description": "Something red."}' in found["pictures"]


def test_a_refused_key_fails_and_is_not_shown(
    cli: Cli, server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reply = lambda number, body: (401, {"error": {"message": f"bad key {KEY}"}})
    command = ("doctor", "--base-url", server.url, "--model", "tiny", "--json")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ended = cli(*command)
    assert ended.code == 1
    found = json.loads(ended.out)
    assert found["schema"]["level"] == "fails"
    assert "refused the key (HTTP 401); set the environment variable" in found["schema"]["finding"]
    assert "limits" not in found
    assert server.authorizations[0] == f"Bearer {KEY}"
    assert KEY not in ended.out + ended.err


def test_nobody_at_the_address_fails() -> None:
    found = findings("http://127.0.0.1:9/v1", "m")
    assert "does not list its models" in found["endpoint"]
    assert "cannot be reached" in found["schema"]
    assert found["limits"] == ""
