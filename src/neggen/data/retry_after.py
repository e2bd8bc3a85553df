"""How long a server asks to be left alone."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime


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


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(number) else number
