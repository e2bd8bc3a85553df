from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from neggen.errors import NegGenError
from neggen.generation.backends.base import RequestFailed
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend, list_models
from neggen.generation.backends.replies import REFUSALS
from neggen.generation.pacing import backoff
from neggen.generation.pacing.breaker import FAILURES

if TYPE_CHECKING:
    from conftest import ChatServer

    from .conftest import Client


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (401, {}, "OPENAI_API_KEY"),
        (403, {}, "OPENAI_API_KEY"),
        (404, {}, "no model 'tiny'"),
        (402, {}, "no credit"),
        (429, {"error": {"code": "insufficient_quota", "message": "x"}}, "no credit"),
        (308, {}, "elsewhere"),
        (405, {"detail": "Method Not Allowed"}, "Method Not Allowed); give the address"),
        (410, {}, "end in /v1"),
    ],
)
def test_what_no_request_can_survive_ends_all(
    client: Client, server: ChatServer, status: int, body: Any, hint: str
) -> None:
    server.reply = lambda number, _: (status, body)
    errors = client.ask(client.backend(concurrency=2), *map(client.question, range(40)))
    assert all(isinstance(error, NegGenError) and hint in str(error) for error in errors)
    assert len(server.calls) <= 2


async def web_page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="\n<!doctype html><p>Hi", content_type="text/html")


@pytest.mark.parametrize("items", [1, 40])
def test_a_server_that_sends_web_pages_is_given_up_soon(
    client: Client, server: ChatServer, items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_WAIT", 0.01)
    server.reply = lambda number, body: web_page
    errors = client.ask(client.backend(), *map(client.question, range(items)))
    assert all(isinstance(error, NegGenError) for error in errors)
    assert "should probably end in /v1" in str(errors[0])
    assert len(server.calls) <= (5 if items == 1 else 16 + 5)


def test_web_pages_after_an_answer_are_an_outage(client: Client, server: ChatServer) -> None:
    def reply(number: int, body: Any) -> Any:
        return web_page if 0 < number < 16 else server.say("Hello.")

    server.reply = reply
    server.delay = 0.05  # all of the first 16 are in flight before one fails
    answers = client.ask(client.backend(), *map(client.question, range(50)))
    assert answers == [client.hello] * 50
    assert len(server.calls) == 65


@pytest.mark.parametrize("refusal", [(413, {"error": "Too large."}), (200, {"error": "Bad path."})])
def test_a_server_that_refuses_all_alike_ends_the_run_with_its_words(
    client: Client, server: ChatServer, refusal: Any
) -> None:
    server.reply = lambda number, body: refusal
    asked = client.backend(concurrency=4, max_retries=0)
    results = client.ask(asked, *map(client.question, range(100)))
    ends = [result for result in results if not isinstance(result, RequestFailed)]
    assert len(results) - len(ends) == REFUSALS - 1
    assert refusal[1]["error"] in str(ends[0])
    assert "--retry-failed" in str(ends[0])
    assert len(server.calls) <= REFUSALS + 4


@pytest.mark.parametrize("other", [(200, None), (422, {"error": "Odd."})])
def test_refusals_beside_other_replies_are_of_their_items(
    client: Client, server: ChatServer, other: Any
) -> None:
    answer = server.say("Hello.") if other[1] is None else other
    server.reply = lambda number, body: answer if number == 7 else (400, {"error": "Too large."})
    results = client.ask(client.backend(), *map(client.question, range(60)))
    assert sum(isinstance(result, RequestFailed) for result in results) >= 59
    assert not any(isinstance(result, NegGenError) for result in results)


def test_fields_that_all_are_refused_for_at_first_are_no_refusals(
    client: Client, server: ChatServer
) -> None:
    def reply(number: int, body: dict[str, Any]) -> Any:
        for field in ("temperature", "response_format"):
            if field in body:
                message = f"Unsupported parameter: '{field}'."
                return 400, {"error": {"message": message, "param": field}}
        return server.say("Hello.")

    server.reply = reply
    server.delay = 0.05
    answers = client.ask(client.backend(), *map(client.question, range(40)))
    assert answers == [client.hello] * 40
    assert len(server.calls) >= 40 + REFUSALS


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_kills_no_item(client: Client, server: ChatServer, status: int) -> None:
    server.reply = lambda number, body: (status, {}) if number < 25 else server.say("Hello.")
    asked = client.backend(max_retries=0, patience=100.0)
    answers = client.ask(asked, *map(client.question, range(50)))
    assert answers == [client.hello] * 50
    assert len(server.calls) == 75


def test_a_server_that_stays_busy_is_given_up_with_its_words(
    client: Client, server: ChatServer
) -> None:
    server.reply = lambda number, body: (429, {"error": "Slow down."})
    errors = client.ask(client.backend(patience=0.3), *map(client.question, range(50)))
    assert all(isinstance(error, NegGenError) for error in errors)
    assert "Slow down." in str(errors[0])
    assert "kept" in str(errors[0])


def test_a_redirect_is_not_followed(client: Client, server: ChatServer) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{server.url}/chat/completions?x"})

    server.reply = lambda number, body: elsewhere
    (error,) = client.ask(client.backend(), client.question())
    assert "elsewhere" in str(error)
    assert len(server.calls) == 1


def test_a_request_waiting_for_its_next_try_does_not_outlive_the_run(
    client: Client, server: ChatServer
) -> None:
    async def later(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503, headers={"retry-after": "100"})

    server.reply = lambda number, body: (401, {}) if "Item 1" in str(body) else later
    first, second = client.ask(client.backend(), client.question(0), client.question(1))
    assert "refused the key" in str(first)
    assert "refused the key" in str(second)


def test_a_server_that_was_never_there_is_an_error_at_once(client: Client) -> None:
    (error,) = client.ask(OpenAICompatibleBackend(client.unused_address(), "m"), client.question())
    assert isinstance(error, NegGenError)
    assert "cannot be reached" in str(error)
    with pytest.raises(NegGenError, match="does not list its models"):
        asyncio.run(list_models(client.unused_address()))


def test_a_server_that_stays_down_is_asked_ever_less_and_then_given_up(
    client: Client, server: ChatServer
) -> None:
    server.reply = lambda number, body: (500, {"error": "out of order"})
    errors = client.ask(
        client.backend(patience=0.3, concurrency=4), *map(client.question, range(50))
    )
    assert all(isinstance(error, NegGenError) for error in errors)
    assert "out of order" in str(errors[0])
    assert "kept" in str(errors[0])
    # 10 in a row, up to 3 others in flight then, and a probe.
    assert 11 <= len(server.calls) <= 14


def test_a_probe_that_finds_nobody_is_no_try_of_its_request(client: Client) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(client.completion())

    async def job() -> None:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        asked = OpenAICompatibleBackend(f"http://127.0.0.1:{port}/v1", "m", max_retries=0)
        await asked.complete(client.question())
        await runner.cleanup()
        for _ in range(FAILURES):
            with pytest.raises(RequestFailed):
                await asked.complete(client.question())
        waiting = asyncio.create_task(asked.complete(client.question()))
        await asyncio.sleep(1.5)  # the first probe is sent after 1 s
        assert not waiting.done()
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        assert await waiting == client.hello
        await asked.close()
        await runner.cleanup()

    asyncio.run(job())


def test_an_outage_costs_no_answer(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: (503, {}) if number < 16 else server.say("Hello.")
    server.delay = 0.05  # all of the first 16 are in flight before one fails
    answers = client.ask(client.backend(), *map(client.question, range(50)))
    assert answers == [client.hello] * 50


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_certificate_that_nobody_vouches_for_is_refused(client: Client, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN=127.0.0.1 -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    connections = []

    async def job() -> None:
        runner = web.ServerRunner(web.Server(connections.append))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        asked = OpenAICompatibleBackend(f"https://127.0.0.1:{runner.addresses[0][1]}/v1", "m")
        try:
            await asked.complete(client.question())
        finally:
            await asked.close()
            await runner.cleanup()

    with pytest.raises(NegGenError, match=r"cannot be reached.*certificate"):
        asyncio.run(job())
    assert connections == []


def test_403_after_an_answer_is_about_what_is_asked(client: Client, server: ChatServer) -> None:
    flagged = {"error": {"message": "Input was flagged."}}
    server.reply = lambda number, body: (403, flagged) if number == 1 else server.say("Hello.")
    answers = client.ask(client.backend(concurrency=1), *map(client.question, range(3)))
    assert [isinstance(answer, RequestFailed) for answer in answers] == [False, True, False]
    assert (answers[1].kind, "Input was flagged" in answers[1].reason) == ("http 403", True)


def test_a_request_that_no_waiting_makes_smaller_fails_alone(
    client: Client, server: ChatServer
) -> None:
    said = "Request too large on tokens per min: Limit 10000, Requested 12000."
    large = (429, {"error": {"message": said}})
    server.reply = lambda number, body: large if number == 1 else server.say("Hello.")
    answers = client.ask(client.backend(concurrency=1), *map(client.question, range(3)))
    assert [isinstance(answer, RequestFailed) for answer in answers] == [False, True, False]
    assert len(server.calls) == 3


def test_a_key_that_is_no_good_any_more_ends_all(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: server.say("Hello.") if number == 0 else (403, {})
    answers = client.ask(client.backend(concurrency=1), *map(client.question, range(REFUSALS + 5)))
    assert "refused the key" in str(answers[-1])
    assert sum(isinstance(answer, RequestFailed) for answer in answers) == REFUSALS - 1
    assert len(server.calls) == 1 + REFUSALS
