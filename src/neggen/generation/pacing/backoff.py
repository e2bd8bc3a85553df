"""How long to wait before a failed request is tried again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
LONGEST_ASKED_WAIT = 120.0
"""Seconds; a server that asks for more is asked again after these."""


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a server asks to wait, or None if it asks for none that makes sense.

    ``retry-after-ms`` goes before ``retry-after``, which holds seconds or an HTTP date (RFC 9110,
    10.2.3).

    Args:
        headers: of the response, by case-insensitive name.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is not None and (seconds := _number(value) * unit) > 0:
            return seconds
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        seconds = date.timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None


def wait_before(retry: int, asked: float | None) -> float:
    """Return the seconds to wait before the ``retry``-th further try, counted from 1.

    What the server asked for, or else twice as long each time; with jitter, so that requests that
    failed together do not come back together.
    """
    if asked is not None:
        return min(asked, LONGEST_ASKED_WAIT) * random.uniform(1.0, 1.1)
    # 2.0**1024 would overflow.
    return min(FIRST_WAIT * 2.0 ** min(retry - 1, 30), LONGEST_WAIT) * random.uniform(0.5, 1.0)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(number) else number
