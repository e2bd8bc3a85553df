"""Where every request waits for its turn: a free slot, a server that is up, the rates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from neggen.errors import NegGenError
from neggen.generation.pacing.breaker import Breaker
from neggen.generation.pacing.concurrency import ConcurrencyLimit
from neggen.generation.pacing.hold import Hold
from neggen.generation.pacing.rate import RateLimit


@dataclass
class Turn:
    """One request's turn; who takes it says what came of it.

    Attributes:
        probe: whether it is the only request to a server that seems to be down.
        ended: ``answered``; ``refused``, which is no answer, though a live server's word; ``busy``:
            the server wants to be left alone for a while; or ``down``: no word, or an error of the
            server's own. None until then.
        congested: whether the server complained that it is asked too much.
        wait: of ``busy``, the seconds that the server asks for; None if it does not say.
        reason: of ``busy`` and ``down``, for people.
        tokens: what the request took, once known; at first what it may take at most.
    """

    probe: bool
    tokens: int
    ended: Literal["answered", "refused", "busy", "down"] | None = None
    congested: bool = False
    wait: float | None = None
    reason: str = ""


class Gate:
    """Lets requests through as fast as a server bears and its limits allow.

    Attributes:
        limit: of the requests in flight.
    """

    def __init__(
        self,
        breaker: Breaker,
        *,
        concurrency: int,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> None:
        """Begin with a modest number of requests in flight.

        Args:
            breaker: notices when the server is down.
            concurrency: most requests in flight.
            requests_per_minute: most requests sent in a minute; None for no limit.
            tokens_per_minute: most tokens, of prompts and answers; None for no limit.
        """
        self.limit = ConcurrencyLimit(concurrency)
        self._breaker = breaker
        self._hold = Hold()
        self._requests = RateLimit(requests_per_minute) if requests_per_minute else None
        self._tokens = RateLimit(tokens_per_minute) if tokens_per_minute else None
        self._line = asyncio.Lock()
        self._closed = asyncio.Event()
        self._error = ""

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator[Turn]:
        """Wait for a turn and hold it inside the ``async with``.

        Args:
            tokens: what the request takes at most.

        Raises:
            NegGenError: If the gate is closed; at the end, if the server has answered nothing for
                too long.
        """
        await self.limit.acquire()
        turn = Turn(probe=False, tokens=tokens)
        ticket, news = self.limit.ticket, False
        try:
            turn.probe = await self._breaker.wait()
            await self._wait_in_line(tokens)
            ticket = self.limit.ticket
            yield turn
        finally:
            if self._tokens is not None and turn.ended is not None:
                self._tokens.correct(turn.tokens - tokens)
            if turn.congested:
                news = self.limit.complained(ticket)
            elif turn.ended == "answered":
                self.limit.succeeded()
            self.limit.release()
            if turn.ended is None:
                self._breaker.abandoned(turn.probe)
            elif turn.ended in ("answered", "refused"):
                self._breaker.alive()
                self._hold.answered()
        if turn.ended == "busy":
            self._hold.asked(turn.wait, news=news)
            self._breaker.busy(turn.probe, turn.reason)
        elif turn.ended == "down":
            self._breaker.failed(turn.probe, turn.reason)

    async def pause(self, seconds: float) -> None:
        """Wait for so many seconds.

        Raises:
            NegGenError: As soon as the gate is closed.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return
        raise NegGenError(self._error)

    def close(self, error: str) -> None:
        """Let nothing through any more, whatever waits included, for this reason."""
        self._error = error
        self._closed.set()

    async def _wait_in_line(self, tokens: int) -> None:
        async with self._line:  # so that no crowd gathers behind the rates during a hold
            if self._requests is not None:
                await self._requests.take(1)
            if self._tokens is not None:
                await self._tokens.take(tokens)
            while (left := self._hold.left()) > 0:
                await self.pause(left)
        if self._closed.is_set():
            raise NegGenError(self._error)
