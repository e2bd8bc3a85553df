"""While a server says that it is asked too much, it is not asked at all."""

from __future__ import annotations

import asyncio

from neggen.generation.pacing.backoff import FIRST_WAIT, wait_before


class Hold:
    """Until when a server wants to be left alone, by all requests together.

    Where it does not say how long, twice as long each time, until it answers again.
    """

    def __init__(self) -> None:
        """Begin with a server that has said nothing."""
        self._until = 0.0
        self._rounds = 0

    def left(self) -> float:
        """Return the seconds until a request may be sent; not positive if now."""
        return self._until - asyncio.get_running_loop().time()

    def asked(self, wait: float | None, *, news: bool) -> None:
        """The server asked to be left alone.

        Args:
            wait: for so many seconds; None if it did not say.
            news: whether the request was sent after the last hold, so that that was too short.
        """
        if news or self._rounds == 0:
            self._rounds += 1
        elif wait is None:
            return
        seconds = wait_before(self._rounds, wait)
        if self._rounds > 1:  # the wait that it asked for was not enough
            seconds = max(seconds, FIRST_WAIT)
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)

    def answered(self) -> None:
        """The server answered; the next hold is short again."""
        self._rounds = 0
