from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from neggen.data.retry_after import asked_wait
from neggen.generation.pacing.backoff import wait_before


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "150", "retry-after": "3"}, 0.15),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3),
        ({"retry-after": formatdate(time.time() + 1_000_000, usegmt=True)}, 1_000_000),
        ({"retry-after": formatdate(time.time() - 100_000, usegmt=True)}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "in a while"}, None),
        ({"retry-after": "Fri, 99 Nov 2026 99:99:99 GMT"}, None),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    asked = asked_wait(headers)
    # Dates have whole seconds, and the clock goes on.
    assert asked == (
        seconds if seconds is None else pytest.approx(seconds, abs=10_000 * (seconds > 9))
    )


def test_waits_double_up_to_a_bound_with_jitter() -> None:
    for retry, longest in [(1, 0.5), (2, 1), (3, 2), (6, 16), (7, 30), (5000, 30)]:
        waits = [wait_before(retry, None) for _ in range(200)]
        assert longest / 2 <= min(waits) < max(waits) <= longest


def test_what_the_server_asks_is_honored_but_not_for_ever() -> None:
    waits = [wait_before(1, 3.0) for _ in range(200)]
    assert min(waits) >= 3
    assert 3 < max(waits) <= 3.3
    assert wait_before(1, float("inf")) <= 132
