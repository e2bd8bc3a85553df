"""How many requests may be in flight: found out by trying, as TCP finds its window."""

from __future__ import annotations

import asyncio
from collections import deque

START = 16
"""Requests in flight at first: modest, yet doubled five times a second against a quick server."""


class ConcurrencyLimit:
    """Slow start, then additive increase and multiplicative decrease (RFC 5681).

    Until the server first complains, every success allows one more request, which doubles the
    limit each round trip. A complaint halves it, at most once for all requests that were sent
    before; from then on a whole window of successes allows one more. After complaints without a
    success between them the limit doubles again up to what the first of them left.
    """

    def __init__(self, ceiling: int, start: int = START) -> None:
        """Begin at ``start`` requests in flight, never to pass ``ceiling``; both at least 1."""
        self._ceiling = float(ceiling)
        self._allowed = float(min(start, ceiling))
        self._slow_start_until = self._ceiling
        self._in_flight = 0
        self._halvings = 0
        self._recovering = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._allowed)

    @property
    def ticket(self) -> int:
        """What a request that is sent now is to show to :meth:`complained`."""
        return self._halvings

    async def acquire(self) -> None:
        """Wait for a slot, first come, first served."""
        if self._in_flight < self.limit:  # then nobody is waiting
            self._in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.release()  # the slot came together with the cancellation
            raise

    def succeeded(self) -> None:
        """Allow more, if the limit is what held requests back; call before :meth:`release`."""
        self._recovering = False
        if self._in_flight >= self.limit:
            step = 1 if self._allowed < self._slow_start_until else 1 / self._allowed
            self._allowed = min(self._allowed + step, self._ceiling)

    def complained(self, ticket: int) -> bool:
        """Halve the limit, unless that happened after the request got its ``ticket``.

        Returns:
            Whether the limit was halved.
        """
        if ticket != self._halvings:
            return False
        self._halvings += 1
        self._allowed = max(min(self._allowed, self._in_flight) / 2, 1.0)
        if not self._recovering:
            self._slow_start_until = self._allowed
        self._recovering = True
        return True

    def release(self) -> None:
        """Give a slot back."""
        self._in_flight -= 1
        while self._waiting and self._in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._in_flight += 1
