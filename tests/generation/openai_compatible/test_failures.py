from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from neggen.generation.backends.replies import read_reply
from neggen.generation.backends.wire import Lost, Reply
from neggen.generation.requests import Completion, Usage

if TYPE_CHECKING:
    from conftest import ChatServer

    from .conftest import Client


async def cut(request: web.Request) -> web.StreamResponse:
    request.transport.abort()
    return web.Response()


async def cut_in_the_middle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    request.transport.close()
    return response


async def no_gzip(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"rubbish", headers={"Content-Encoding": "gzip"})


async def endless_header(request: web.Request) -> web.StreamResponse:
    return web.Response(text="x", headers={"X-Long": "x" * 100_000})


async def half_json(request: web.Request) -> web.StreamResponse:
    return web.Response(text='{"choices": [', content_type="application/json")


async def web_page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<!doctype html><p>Hi", content_type="text/html")


async def no_choices(request: web.Request) -> web.StreamResponse:
    return web.json_response({"choices": []})


BROKEN = [no_choices, cut, cut_in_the_middle, no_gzip, endless_header, half_json, web_page]


@pytest.mark.parametrize("reply", [408, 409, 429, 500, 503, *BROKEN])
def test_a_passing_failure_is_tried_again(client: Client, server: ChatServer, reply: Any) -> None:
    failed = (reply, {}) if isinstance(reply, int) else reply
    server.reply = lambda number, body: failed if number == 0 else server.say("Hello.")
    assert client.ask(client.backend(), client.question()) == [client.hello]
    assert len(server.calls) == 2


def test_a_server_that_asks_to_wait_is_left_alone(client: Client, server: ChatServer) -> None:
    async def later(request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"retry-after": "100"})

    server.reply = lambda number, body: later

    async def job() -> None:
        asked = client.backend()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asked.complete(client.question())
        await asked.close()

    asyncio.run(job())
    assert len(server.calls) == 1


def test_time_outs_and_complaints_are_signs_of_congestion_and_refusals_are_not() -> None:
    replies = [Lost("timeout", ""), Reply(429, {}, b""), Reply(503, {}, b"")]
    assert all(read_reply(reply, str).congested for reply in replies)
    replies = [
        Lost("unreachable", ""),
        Lost("cut off", ""),
        Reply(400, {}, b""),
        Reply(500, {}, b""),
    ]
    assert not any(read_reply(reply, str).congested for reply in replies)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(500, "http 500"), (cut, "cut off"), (half_json, "no json")],
)
def test_the_last_try_fails_the_request(
    client: Client, server: ChatServer, reply: Any, kind: str
) -> None:
    server.reply = lambda number, body: (reply, {}) if isinstance(reply, int) else reply
    error = client.failure(client.backend(max_retries=1))
    assert (error.kind, error.cost) == (kind, None)
    assert "2 tries" in error.reason
    assert len(server.calls) == 2


def test_a_slow_server_times_out(client: Client, server: ChatServer) -> None:
    server.delay = 0.5
    error = client.failure(client.backend(timeout=0.1, max_retries=0))
    assert error.kind == "timeout"
    assert "0.1 seconds" in error.reason


def test_a_refused_request_is_not_tried_again(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: (400, {"error": {"message": "The picture is too large."}})
    error = client.failure(client.backend())
    assert error.kind == "http 400"
    assert error.reason == "The server answered HTTP 400: The picture is too large."
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"message": {"content": ""}}, "no text", "stop"),
        ({"choice": {"message": None}}, "no text", "stop"),
        ({"choice": {"finish_reason": "length"}}, "cut at max_tokens", "more tokens"),
        ({"choice": {"finish_reason": "content_filter"}}, "content filter", "filter"),
        ({"message": {"content": [{"text": "Hi"}]}}, "not a completion", "list"),
    ],
)
def test_an_answer_without_text_says_why(
    client: Client, server: ChatServer, changes: Any, kind: str, reason: str
) -> None:
    server.reply = lambda number, body: (200, client.completion(**changes))
    error = client.failure(client.backend())
    assert error.kind == kind
    assert reason in error.reason
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "answer", [{"choices": []}, {"choices": [None]}, {"error": "no"}, [], 3, None]
)
def test_json_that_is_no_completion_is_a_failure(
    client: Client, server: ChatServer, answer: Any
) -> None:
    server.reply = lambda number, body: (200, answer)
    assert client.failure(client.backend(max_retries=0)).kind == "no choices"


def test_a_web_page_hints_at_the_address(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: web_page
    error = client.failure(client.backend(max_retries=0))
    assert error.kind == "web page"
    assert "base URL" in error.reason


def test_json_that_is_no_completion_is_quoted(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: (200, {"error": "Unexpected endpoint."})
    error = client.failure(client.backend(max_retries=0))
    assert error.reason == "The server's answer has no 'choices': Unexpected endpoint."


def test_a_refusal_is_the_answer_whatever_the_usage(client: Client, server: ChatServer) -> None:
    refusal = client.completion(message={"content": None, "refusal": "I can't."}, usage={"x": 1})
    server.reply = lambda number, body: (200, refusal)
    assert client.ask(client.backend(), client.question()) == [Completion("I can't.", Usage())]


def test_an_endless_reply_is_given_up(client: Client, server: ChatServer) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(40):
                await response.write(b" " * 2**20)
        except ConnectionError:
            pass
        return response

    server.reply = lambda number, body: endless
    assert client.failure(client.backend()).kind == "too much"
