from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from neggen.errors import NegGenError
from neggen.generation.pacing.breaker import Breaker
from neggen.generation.pacing.gate import Gate
from neggen.generation.pacing.hold import Hold

Answer = Callable[[float], float | str | None]
"""What a server says at a time: seconds to wait, None for a busy server without, or a word."""


async def ask(answer: Answer, now: Any, requests: int, patience: float = 600.0) -> list[float]:
    """Ask until every request has an answer; returns when something was sent."""
    gate, sent = Gate(Breaker("http://x", patience=patience), concurrency=64), []

    async def one() -> None:
        while True:
            async with gate.turn(1) as turn:
                sent.append(now())
                await asyncio.sleep(0.1)
                said = answer(sent[-1])
                if said == "answered":
                    turn.ended = "answered"
                    return
                turn.ended, turn.congested, turn.reason = "busy", True, "HTTP 429"
                turn.wait = said if isinstance(said, float) else None

    await asyncio.gather(*[one() for _ in range(requests)])
    return sent


def test_all_wait_together_for_as_long_as_the_server_asks(run, now) -> None:
    sent = run(ask(lambda time: 20.0 if time < 100 else "answered", now, 40))
    rounds = sorted({round(time, 2) for time in sent if time < 100})
    assert 5 <= len(rounds) <= 6
    assert all(20 <= later - earlier <= 23 for earlier, later in pairwise(rounds))
    # 16 at once, those that had their turn then, and then ever fewer.
    assert len([time for time in sent if time < 100]) <= 16 + 16 + 8 + 4 + 2 + 1
    assert len(sent) - len([time for time in sent if time < 100]) == 40


def test_a_server_that_does_not_say_how_long_is_asked_ever_less(run, now) -> None:
    sent = run(ask(lambda time: None if time < 200 else "answered", now, 40))
    early = [time for time in sent if time < 200]
    assert len(early) < 70
    assert len([time for time in early if time > 60]) <= 10


def test_a_server_that_asks_for_far_too_little_is_not_stormed(run, now) -> None:
    sent = run(ask(lambda time: 0.001 if time < 60 else "answered", now, 5))
    assert len([time for time in sent if 10 <= time < 20]) <= 20


def test_patience_with_a_busy_server_ends(run, now) -> None:
    async def scenario() -> None:
        with pytest.raises(NegGenError, match=r"nothing for 6\d\d seconds \(HTTP 429\).*kept"):
            await ask(lambda time: 30.0, now, 40)
        assert 600 <= now() < 635

    run(scenario())


def test_one_crowd_is_one_complaint(run) -> None:
    async def scenario() -> float:
        hold = Hold()
        hold.asked(None, news=True)
        for _ in range(50):
            hold.asked(None, news=False)
        return hold.left()

    assert 0 < run(scenario()) <= 0.5


def test_an_answer_makes_the_next_hold_short_again(run) -> None:
    async def scenario() -> tuple[float, float]:
        hold = Hold()
        for _ in range(5):
            hold.asked(None, news=True)
        long = hold.left()
        await asyncio.sleep(long)
        hold.answered()
        hold.asked(None, news=True)
        return long, hold.left()

    long, short = run(scenario())
    assert long >= 4
    assert 0 < short <= 0.5


def test_a_gate_that_closes_wakes_those_it_holds(run, now) -> None:
    async def scenario() -> None:
        gate = Gate(Breaker("http://x", patience=600.0), concurrency=4)
        async with gate.turn(1) as turn:
            turn.ended, turn.wait = "busy", 100.0

        async def one() -> None:
            async with gate.turn(1):
                raise AssertionError("was let through")

        waiting = [asyncio.create_task(one()) for _ in range(9)]
        await asyncio.sleep(1)
        gate.close("It is over.")
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert {str(error) for error in errors} == {"It is over."}
        assert now() == pytest.approx(1)

    run(scenario())
