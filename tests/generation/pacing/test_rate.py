from __future__ import annotations

import asyncio

import pytest

from neggen.generation.pacing.rate import RateLimit


async def times(rate: RateLimit, amounts: list[float], now) -> list[float]:
    async def take(amount: float) -> float:
        await rate.take(amount)
        return now()

    return await asyncio.gather(*map(take, amounts))


def test_requests_are_spread_evenly_from_the_first_on(run, now) -> None:
    taken = run(times(RateLimit(120), [1] * 200, now))
    assert taken == sorted(taken)
    for start in taken:
        assert sum(start <= time < start + 60 for time in taken) <= 121
    assert taken[-1] == pytest.approx(199 / 2, abs=0.2)


def test_large_amounts_make_the_next_wait(run, now) -> None:
    assert run(times(RateLimit(60), [30, 1, 1], now)) == pytest.approx([0, 30, 31], abs=0.2)


def test_what_was_not_used_is_given_back_and_excess_is_taken(run, now) -> None:
    async def scenario() -> tuple[float, float]:
        rate = RateLimit(60)
        await rate.take(50)
        rate.correct(-40)
        await rate.take(1)
        first = now()
        rate.correct(9)
        await rate.take(1)
        return first, now()

    assert run(scenario()) == pytest.approx((10, 20), abs=0.2)


def test_idle_time_is_not_saved_up(run, now) -> None:
    async def scenario() -> list[float]:
        rate = RateLimit(60)
        await rate.take(1)
        await asyncio.sleep(1000)
        return await times(rate, [1] * 5, now)

    assert run(scenario()) == pytest.approx([1000, 1001, 1002, 1003, 1004], abs=0.2)
