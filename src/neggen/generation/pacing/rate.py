"""So many requests or tokens a minute, spread evenly."""

from __future__ import annotations

import asyncio

SLACK = 0.1
"""Seconds that a late timer may catch up, so that lateness does not add up to a lower rate."""


class RateLimit:
    """A leaky bucket that holds ``SLACK`` seconds' worth, filled by what is taken.

    There is no burst at the beginning: servers count in windows of their own, and a burst at the
    end of one and the start of the next would be twice the rate.
    """

    def __init__(self, per_minute: float) -> None:
        """Allow ``per_minute`` units, which must be positive, in each minute."""
        self._per_second = per_minute / 60
        self._free_at = 0.0
        self._turn = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait, first come, first served, until what was taken before has drained; then take."""
        clock = asyncio.get_running_loop().time
        async with self._turn:
            while (wait := self._free_at - clock()) > 0:
                await asyncio.sleep(wait)
            self._free_at = max(self._free_at, clock() - SLACK) + amount / self._per_second

    def correct(self, amount: float) -> None:
        """Take ``amount`` more after the event, or give it back if negative."""
        self._free_at += amount / self._per_second
