from __future__ import annotations

import asyncio

import pytest

from neggen.generation.pacing.concurrency import ConcurrencyLimit


async def round_trips(limit: ConcurrencyLimit, workers: int, trips: int, capacity: int = 10**6):
    """Keep ``workers`` asking a server of 1 s latency that complains beyond ``capacity``."""
    peaks, in_flight = [0] * trips, 0
    loop = asyncio.get_running_loop()

    async def work() -> None:
        nonlocal in_flight
        while loop.time() < trips - 0.5:
            await limit.acquire()
            ticket = limit.ticket
            in_flight += 1
            crowded = in_flight > capacity
            trip = int(loop.time())
            if trip < trips:
                peaks[trip] = max(peaks[trip], in_flight)
            await asyncio.sleep(1)
            in_flight -= 1
            if crowded:
                limit.complained(ticket)
            else:
                limit.succeeded()
            limit.release()

    await asyncio.gather(*[work() for _ in range(workers)])
    return peaks


def test_a_server_that_never_complains_is_soon_asked_at_the_ceiling(run) -> None:
    peaks = run(round_trips(ConcurrencyLimit(100, start=8), workers=300, trips=7))
    assert peaks == [8, 16, 32, 64, 100, 100, 100]


def test_complaints_halve_once_a_round_trip_and_successes_add_one(run) -> None:
    peaks = run(round_trips(ConcurrencyLimit(256, start=8), workers=256, trips=14, capacity=20))
    assert peaks[:3] == [8, 16, 32]
    # 12 of the 32 complain and halve it but once; then one more each round trip.
    assert 16 <= peaks[3] <= 18
    assert peaks[4:7] == [peaks[3] + 1, peaks[3] + 2, peaks[3] + 3]
    assert peaks[7] == 21 // 2 + 1
    assert peaks[8:11] == [12, 13, 14]


def test_the_floor_is_one(run) -> None:
    limit = ConcurrencyLimit(64, start=16)
    assert set(run(round_trips(limit, workers=8, trips=9, capacity=0))[4:]) == {1}
    assert limit.limit == 1


def test_after_an_outage_the_limit_doubles_again_up_to_half_of_what_it_was(run) -> None:
    limit = ConcurrencyLimit(64, start=16)
    run(round_trips(limit, workers=64, trips=8, capacity=0))
    assert limit.limit == 1
    assert run(round_trips(limit, workers=64, trips=6)) == [1, 2, 4, 8, 8, 9]


def test_it_does_not_grow_while_something_else_holds_requests_back(run) -> None:
    limit = ConcurrencyLimit(64, start=16)
    run(round_trips(limit, workers=3, trips=20))
    assert limit.limit == 16


@pytest.mark.parametrize("together", [False, True])
def test_a_canceled_wait_loses_no_slot(run, together: bool) -> None:
    async def scenario() -> None:
        limit = ConcurrencyLimit(1)
        await limit.acquire()
        waiting = [asyncio.create_task(limit.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        if together:
            limit.release()  # the slot is handed over, and then not wanted
            waiting[0].cancel()
        else:
            waiting[0].cancel()
            await asyncio.sleep(0)
            limit.release()
        await asyncio.wait(waiting)
        assert waiting[0].cancelled()
        limit.release()
        await limit.acquire()

    run(scenario())


def test_slots_go_out_in_order(run) -> None:
    order: list[int] = []

    async def work(limit: ConcurrencyLimit, number: int) -> None:
        await limit.acquire()
        order.append(number)
        await asyncio.sleep(1)
        limit.release()

    async def scenario() -> None:
        limit = ConcurrencyLimit(2)
        await asyncio.gather(*[work(limit, number) for number in range(20)])

    run(scenario())
    assert order == list(range(20))
