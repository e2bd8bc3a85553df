from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

if TYPE_CHECKING:
    from conftest import ChatServer

    from .conftest import Client


def test_a_server_that_bears_little_is_not_asked_for_more_for_long(
    client: Client, server: ChatServer
) -> None:
    in_flight = peak = 0

    async def crowded(request: web.Request) -> web.StreamResponse:
        nonlocal in_flight, peak
        in_flight += 1
        peak = max(peak, in_flight)
        full = in_flight > 8
        await asyncio.sleep(0.01)
        in_flight -= 1
        if full:
            return web.json_response({}, status=429, headers={"retry-after-ms": "20"})
        return web.json_response(client.completion())

    server.reply = lambda number, body: crowded
    answers = client.ask(client.backend(), *map(client.question, range(200)))
    assert answers == [client.hello] * 200
    # Without the limit, all 200 would be sent at once, and again and again.
    assert peak <= 32
    assert len(server.calls) < 300


def test_no_more_are_in_flight_than_allowed_yet_as_many(client: Client, server: ChatServer) -> None:
    in_flight, peaks = 0, [0]

    async def slow(request: web.Request) -> web.StreamResponse:
        nonlocal in_flight
        in_flight += 1
        peaks.append(in_flight)
        await asyncio.sleep(0.1)
        in_flight -= 1
        return web.json_response(client.completion())

    server.reply = lambda number, body: slow
    client.ask(client.backend(concurrency=40), *map(client.question, range(300)))
    assert max(peaks) == 40


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute"])
def test_rates_hold_requests_back(client: Client, server: ChatServer, limit: str) -> None:
    async def less_than_a_second() -> None:
        asked = client.backend(**{limit: 60})  # one a second, but a busy machine starts slowly
        try:
            async with asyncio.timeout(0.9):
                await asyncio.gather(
                    *[asked.complete(client.question(number)) for number in range(20)]
                )
        finally:
            await asked.close()

    with pytest.raises(TimeoutError):
        asyncio.run(less_than_a_second())
    assert len(server.calls) == 1


def test_a_refused_try_takes_no_tokens(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: (429, {}) if number == 0 else server.say("Hello.")

    async def job() -> None:
        asked = client.backend(tokens_per_minute=1)  # the try itself would take hours
        async with asyncio.timeout(10):
            await asked.complete(client.question())
        await asked.close()

    asyncio.run(job())
