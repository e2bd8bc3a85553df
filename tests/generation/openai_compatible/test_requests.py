from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from PIL import Image

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend, list_models
from neggen.generation.requests import Usage
from neggen.generation.run import generate_records

if TYPE_CHECKING:
    from conftest import ChatServer

    from .conftest import Client

Catalogue = Callable[..., Dataset]


def test_a_text_request_carries_prompts_schema_and_parameters(
    client: Client, server: ChatServer, catalogue: Catalogue
) -> None:
    records = generate_records(catalogue(1), client.backend(temperature=0.25))
    assert records["negative"].to_list() == ["A blue mug with stripes."]
    assert records["generator"].to_list() == ["openai-compatible: tiny"]
    (call,) = server.calls
    assert (call["model"], call["temperature"], call["max_tokens"]) == ("tiny", 0.25, 1024)
    form = call["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["additionalProperties"] is False
    assert set(form["json_schema"]["schema"]["required"]) == {"marked", "replacements"}
    assert "title: Thing number 0" in server.prompts()[0]


def test_only_what_changes_answers_is_part_of_the_journal_key() -> None:
    asked = OpenAICompatibleBackend("http://x/v1", "m", timeout=1, patience=2, concurrency=3)
    assert asked.parameters == {"temperature": 0.7, "max_tokens": 1024, "longest_side": 768}


def test_a_picture_travels_as_a_data_uri_that_decodes(client: Client, server: ChatServer) -> None:
    stored = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(stored, "PNG")
    client.ask(client.backend(), client.question(image=stored.getvalue()))
    _, image = server.calls[0]["messages"][1]["content"]
    kind, _, data = image["image_url"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (40, 30))


def test_a_picture_that_cannot_be_decoded_is_a_failure_of_its_item(
    client: Client, server: ChatServer
) -> None:
    assert (
        client.failure(client.backend(), client.question(image=b"rubbish")).kind
        == "unreadable picture"
    )
    assert server.calls == []


def test_a_bad_answer_is_asked_again(
    client: Client, server: ChatServer, catalogue: Catalogue
) -> None:
    server.reply = lambda number, body: server.say("As an AI, no." if number == 0 else server.good)
    assert len(generate_records(catalogue(1), client.backend())) == 1
    assert "refusal" in server.prompts()[1]


@pytest.mark.parametrize(
    "option", ["max_tokens", "timeout", "concurrency", "tokens_per_minute", "patience"]
)
def test_numbers_that_make_no_sense_are_refused(option: str) -> None:
    with pytest.raises(NegGenError, match=option):
        OpenAICompatibleBackend("http://x/v1", "m", **{option: 0})


@pytest.mark.parametrize(("option", "value"), [("max_retries", -1), ("temperature", float("nan"))])
def test_numbers_that_may_be_zero_may_not_be_less(option: str, value: float) -> None:
    with pytest.raises(NegGenError, match=option):
        OpenAICompatibleBackend("http://x/v1", "m", **{option: value})


def test_models_are_listed(client: Client, server: ChatServer) -> None:
    assert asyncio.run(list_models(server.url)) == ["tiny"]
    with pytest.raises(NegGenError, match="HTTP 404"):
        asyncio.run(list_models(server.url + "/nowhere"))


def test_a_proxy_of_the_environment_is_used_unless_the_server_is_exempt(
    client: Client, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    far = OpenAICompatibleBackend("http://far.invalid/v1", "m")
    assert client.ask(far, client.question())[0].usage == Usage(7, 3)
    monkeypatch.setenv("http_proxy", client.unused_address())
    assert client.ask(client.backend(), client.question())[0].usage == Usage(7, 3)


def test_a_query_in_the_address_is_kept_and_not_shown(client: Client, server: ChatServer) -> None:
    queries: list[str] = []

    async def look(request: web.Request) -> web.StreamResponse:
        queries.append(request.query_string)
        return web.Response(status=404)

    server.reply = lambda number, body: look
    asked = OpenAICompatibleBackend(f"{server.url}/?api-version=1", "m")
    (error,) = client.ask(asked, client.question())
    assert queries == ["api-version=1"]
    assert f"{server.url} has" in str(error)


def test_odd_text_travels_both_ways(client: Client, server: ChatServer) -> None:
    odd = "\ud800 “猫” \x00"
    server.reply = lambda number, body: server.say(odd)
    asked = client.backend(prices=client.a_dollar_a_token)
    (answer,) = client.ask(asked, client.question(user=odd))
    assert answer.text == odd
    assert json.dumps(server.prompts()) == json.dumps([odd])
