from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from neggen.errors import NegGenError
from neggen.generation.backends.base import RequestFailed
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend, list_models

if TYPE_CHECKING:
    from conftest import ChatServer

    from .conftest import Client

KEY = "sk-very/secret"


def everything_said(error: BaseException) -> str:
    said, seen = "", set()
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            said += f"{link!s} {link!r} {vars(link)}"
            links += [link.__cause__, link.__context__]
    return said


def test_the_key_comes_from_the_environment(
    client: Client, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    client.ask(client.backend(), client.question())
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    client.ask(client.backend(), client.question())
    assert server.authorizations == ["Bearer none", f"Bearer {KEY}"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very\nsecret")
    with pytest.raises(NegGenError, match="OPENAI_API_KEY") as caught:
        client.backend()
    assert "secret" not in everything_said(caught.value)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500, None])
def test_the_key_is_nowhere_else_even_if_the_server_echoes_it(
    client: Client,
    server: ChatServer,
    status: int | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    async def echo(request: web.Request) -> web.StreamResponse:
        said = f"You sent {request.headers['Authorization']}, that is sk-very%2Fsecret."
        headers = {"X-Echo": said, "Location": f"/{KEY}", "retry-after-ms": "5"}
        text = json.dumps({"error": {"message": said}}).replace("/", "\\/")  # as PHP does
        return web.Response(text=text, status=status, headers=headers)

    server.reply = lambda number, body: echo if status else client.cut
    asked = client.backend(max_retries=1, patience=0.2)
    with caplog.at_level(logging.DEBUG):
        (error,) = client.ask(asked, client.question())
    assert isinstance(error, RequestFailed | NegGenError)
    assert "secret" not in everything_said(error) + repr(asked) + caplog.text
    if status == 400:
        assert "You sent Bearer [key]" in error.reason


@pytest.mark.parametrize("field", ["content", "refusal"])
def test_a_key_in_an_answer_is_blackened(
    client: Client, server: ChatServer, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"content": None, field: f"A mug, {KEY} or sk-very%2Fsecret, EMPTY."}
    server.reply = lambda number, body: (200, client.completion(message=said))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (answer,) = client.ask(client.backend(), client.question())
    assert answer.text == "A mug, [key] or [key], EMPTY."
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")  # a placeholder, and any word may be one
    (answer,) = client.ask(client.backend(), client.question())
    assert answer.text == said[field]


def test_a_key_in_a_cut_error_text_is_blackened_first(
    client: Client, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.reply = lambda number, body: (400, {"error": "x" * 495 + KEY})
    assert "sk" not in client.failure(client.backend()).reason


@pytest.mark.parametrize(
    "address",
    ["http://user:secret@host/v1", "user:secret@host/v1", "ftp://host", "http://", "http://x:y/"],
)
def test_addresses_that_cannot_be_used_are_refused(address: str) -> None:
    with pytest.raises(NegGenError, match="base URL") as caught:
        OpenAICompatibleBackend(address, "m")
    assert "secret" not in everything_said(caught.value)
    with pytest.raises(NegGenError, match="base URL"):
        asyncio.run(list_models(address))
