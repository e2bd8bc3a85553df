from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from neggen.generation.backends.dialect import Dialect

if TYPE_CHECKING:
    from conftest import ChatServer

    from .conftest import Client


def picky(server: ChatServer, body: dict[str, Any]) -> tuple[int, Any]:
    """Knows neither temperature nor max_tokens nor any response_format."""
    for field, hint in [
        ("temperature", ""),
        ("max_tokens", " Use max_completion_tokens."),
        ("response_format", ""),
    ]:
        if field in body:
            message = f"Unsupported parameter: '{field}'.{hint}"
            return 400, {"error": {"message": message, "param": field}}
    return server.say("Hello.")


def test_what_a_server_does_not_know_is_left_out_from_then_on(
    client: Client, server: ChatServer
) -> None:
    server.reply = lambda number, body: picky(server, body)
    asked = client.backend(max_tokens=77)
    assert client.ask(asked, client.question()) == [client.hello]
    assert len(server.calls) == 5
    assert set(server.calls[-1]) == {"model", "messages", "max_completion_tokens"}
    assert server.calls[-1]["max_completion_tokens"] == 77
    assert server.calls[-2]["response_format"] == {"type": "json_object"}
    assert asked.dialect == Dialect("prompt", "max_completion_tokens", temperature=False)


def test_concurrent_requests_step_down_together(client: Client, server: ChatServer) -> None:
    def reply(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        if body["response_format"]["type"] == "json_schema":
            return 400, {"error": {"message": "response_format: unknown type"}}
        return server.say("Hello.")

    server.reply = reply
    server.delay = 0.05
    answers = client.ask(client.backend(), *map(client.question, range(40)))
    assert answers == [client.hello] * 40
    # The 16 that are sent at first are refused, once each.
    assert len(server.calls) == 56


def test_a_late_refusal_teaches_nothing_that_is_known(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: picky(server, body)

    async def job() -> None:
        asked = client.backend()
        server.delay = 0.5
        slow = asyncio.create_task(asked.complete(client.question(0)))
        while not server.calls:
            await asyncio.sleep(0.01)
        server.delay = 0.0
        await asked.complete(client.question(1))
        assert not slow.done()
        await slow
        await asked.close()

    asyncio.run(job())
    assert len(server.calls) == 5 + 2


def test_a_server_that_refuses_everything_is_not_asked_for_ever(
    client: Client, server: ChatServer
) -> None:
    message = "unsupported: response_format, temperature, max_tokens, max_completion_tokens"
    server.reply = lambda number, body: (422, {"error": {"message": message}})
    errors = client.ask(client.backend(), *map(client.question, range(3)))
    assert [error.kind for error in errors] == ["http 422"] * 3
    assert len(server.calls) <= 15
