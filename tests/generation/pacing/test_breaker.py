from __future__ import annotations

import asyncio

import pytest

from neggen.errors import NegGenError
from neggen.generation.pacing.breaker import FAILURES, Breaker


def opened(**options) -> Breaker:
    breaker = Breaker("http://x", **{"patience": 1000.0, **options})
    for _ in range(FAILURES):
        breaker.failed(False, "HTTP 500")
    return breaker


def test_only_failures_in_a_row_open_it(run) -> None:
    async def scenario() -> None:
        breaker = Breaker("http://x", patience=1000)
        for _ in range(3):
            for _ in range(FAILURES - 1):
                breaker.failed(False, "HTTP 500")
            breaker.alive()
        assert not breaker.is_open
        assert await breaker.wait() is False
        assert opened().is_open

    run(scenario())


def test_one_request_probes_and_the_cool_down_doubles(run, now) -> None:
    async def scenario() -> list[float]:
        breaker, probes, released = opened(), [], []

        async def work() -> None:
            while await breaker.wait():
                probes.append(now())
                await asyncio.sleep(0.25)
                if len(probes) == 5:
                    breaker.alive()
                else:
                    breaker.failed(True, "HTTP 500")
            released.append(now())

        await asyncio.gather(*[work() for _ in range(20)])
        assert len(released) == 20
        assert max(released) == probes[-1] + 0.25
        return probes

    # Cool-downs of 1, 2, 4, 8 and 16 s, and a quarter second for each probe.
    assert run(scenario()) == pytest.approx([1, 3.25, 7.5, 15.75, 32], abs=0.01)


def test_an_abandoned_probe_leaves_it_to_the_next(run) -> None:
    async def scenario() -> None:
        breaker = opened()
        assert await breaker.wait() is True
        waiting = asyncio.create_task(breaker.wait())
        await asyncio.sleep(100)
        assert not waiting.done()
        breaker.abandoned(True)
        assert await waiting is True

    run(scenario())


def test_it_opens_and_is_probed_anew_after_a_recovery(run, now) -> None:
    async def scenario() -> None:
        breaker = opened()
        for second in (1, 2):
            assert await breaker.wait() is True
            assert now() == pytest.approx(second)
            breaker.alive()
            for _ in range(FAILURES):
                breaker.failed(False, "HTTP 500")

    run(scenario())


def test_patience_ends_the_run_with_a_last_probe_at_its_end(run, now) -> None:
    async def scenario() -> float:
        breaker = opened(patience=100.0)
        while True:
            assert await breaker.wait() is True
            breaker.failed(True, "Connection refused")
            assert now() < 100

    with pytest.raises(NegGenError, match=r"http://x .*100 seconds \(Connection refused\).*kept"):
        run(scenario())


def test_a_busy_server_is_neither_down_nor_well(run, now) -> None:
    async def scenario() -> None:
        breaker = Breaker("http://x", patience=100)
        for _ in range(FAILURES):
            breaker.failed(False, "HTTP 500")
            breaker.busy(False, "HTTP 429")
        assert await breaker.wait() is True
        breaker.busy(True, "HTTP 429")
        assert await breaker.wait() is True
        assert now() == pytest.approx(3), "a busy probe doubles the cool-down"
        breaker.alive()
        await asyncio.sleep(1000)
        breaker.busy(False, "HTTP 429")
        await asyncio.sleep(99)
        breaker.busy(False, "HTTP 429")
        breaker.alive()
        await asyncio.sleep(99)
        breaker.busy(False, "HTTP 429")
        await asyncio.sleep(100)
        breaker.busy(False, "HTTP 429: slow down")

    with pytest.raises(NegGenError, match=r"answered nothing for 100 seconds .*slow down\).*kept"):
        run(scenario())


def test_answers_that_come_late_close_it_and_failures_that_come_late_do_not_count(run, now) -> None:
    async def scenario() -> None:
        breaker = opened()
        breaker.failed(False, "HTTP 500")
        assert await breaker.wait() is True
        assert now() == pytest.approx(1)
        breaker.alive()
        assert await breaker.wait() is False

    run(scenario())
