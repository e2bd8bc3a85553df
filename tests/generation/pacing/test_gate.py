from __future__ import annotations

import asyncio

import pytest

from neggen.errors import NegGenError
from neggen.generation.pacing.breaker import FAILURES, Breaker
from neggen.generation.pacing.gate import Gate


def gate(patience: float = 1000.0, **options) -> Gate:
    return Gate(Breaker("http://x", patience=patience), **{"concurrency": 64, **options})


async def give_up(paced: Gate) -> None:
    async with paced.turn(1) as turn:
        assert turn.probe
        raise asyncio.CancelledError


def test_tokens_that_were_not_taken_are_given_back(run, now) -> None:
    async def scenario() -> None:
        paced = gate(tokens_per_minute=60)
        async with paced.turn(1000) as turn:
            turn.ended, turn.tokens = "answered", 20
        async with paced.turn(1000):
            assert now() == pytest.approx(20, abs=0.2)
        async with paced.turn(1000):  # nobody said what the turn before took
            assert now() == pytest.approx(1020, abs=0.2)

    run(scenario())


def test_an_exception_gives_the_slot_back_and_passes_the_probe_on(run, now) -> None:
    async def scenario() -> None:
        paced = gate(concurrency=1)
        for _ in range(FAILURES):
            async with paced.turn(1) as turn:
                turn.ended = "down"
        for _ in range(2):
            with pytest.raises(asyncio.CancelledError):
                await give_up(paced)
        async with paced.turn(1) as turn:
            assert turn.probe
            turn.ended = "refused"
        async with paced.turn(1) as turn:
            assert not turn.probe

    run(scenario())


def test_what_a_turn_came_to_sets_the_limit(run) -> None:
    async def scenario() -> list[int]:
        paced, limits = gate(concurrency=64), []

        async def one(ended, congested: bool) -> None:
            async with paced.turn(1) as turn:
                await asyncio.sleep(1)
                turn.ended, turn.congested = ended, congested

        for ended, congested in [("answered", False), ("refused", False), ("refused", True)]:
            await asyncio.gather(*[one(ended, congested) for _ in range(paced.limit.limit)])
            limits.append(paced.limit.limit)
        return limits

    grown, same, halved = run(scenario())
    assert grown == same > 16
    assert halved == same // 2


def test_the_last_failed_probe_is_an_error_with_its_reason(run) -> None:
    async def scenario() -> None:
        paced = gate(patience=3)
        while True:
            async with paced.turn(1) as turn:
                turn.ended, turn.reason = "down", "it is gone"

    with pytest.raises(NegGenError, match="it is gone"):
        run(scenario())
