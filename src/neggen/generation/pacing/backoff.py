"""How long to wait before a failed request is tried again."""

from __future__ import annotations

import random

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
LONGEST_ASKED_WAIT = 120.0
"""Seconds; a server that asks for more is asked again after these."""


def wait_before(retry: int, asked: float | None) -> float:
    """Return the seconds to wait before the ``retry``-th further try, counted from 1.

    What the server asked for, or else twice as long each time; with jitter, so that requests that
    failed together do not come back together.
    """
    if asked is not None:
        return min(asked, LONGEST_ASKED_WAIT) * random.uniform(1.0, 1.1)
    # 2.0**1024 would overflow.
    return min(FIRST_WAIT * 2.0 ** min(retry - 1, 30), LONGEST_WAIT) * random.uniform(0.5, 1.0)
