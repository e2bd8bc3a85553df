"""Where every request waits for its turn: a free slot, a server that is up, the rates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from neggen.generation.pacing.breaker import Breaker
from neggen.generation.pacing.concurrency import ConcurrencyLimit
from neggen.generation.pacing.rate import RateLimit


@dataclass
class Turn:
    """One request's turn; who takes it says what came of it.

    Attributes:
        probe: whether it is the only request to a server that seems to be down.
        ended: ``answered``; ``refused``, which is no answer, though a live server's word; or
            ``down``: no word, or an error of the server's own. None until then.
        congested: whether the server complained that it is asked too much.
        reason: of ``down``, for people.
        tokens: what the request took, once known; at first what it may take at most.
    """

    probe: bool
    tokens: int
    ended: Literal["answered", "refused", "down"] | None = None
    congested: bool = False
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
        self._requests = RateLimit(requests_per_minute) if requests_per_minute else None
        self._tokens = RateLimit(tokens_per_minute) if tokens_per_minute else None

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator[Turn]:
        """Wait for a turn and hold it inside the ``async with``.

        Args:
            tokens: what the request takes at most.

        Raises:
            NegGenError: At the end, if the server has been down for too long.
        """
        ticket = await self.limit.acquire()
        turn = Turn(probe=False, tokens=tokens)
        try:
            turn.probe = await self._breaker.wait()
            if self._requests is not None:
                await self._requests.take(1)
            if self._tokens is not None:
                await self._tokens.take(tokens)
            yield turn
        finally:
            if self._tokens is not None and turn.ended is not None:
                self._tokens.correct(turn.tokens - tokens)
            if turn.congested:
                self.limit.complained(ticket)
            elif turn.ended == "answered":
                self.limit.succeeded()
            self.limit.release()
            if turn.ended is None:
                self._breaker.abandoned(turn.probe)
            elif turn.ended != "down":
                self._breaker.alive()
        if turn.ended == "down":
            self._breaker.failed(turn.probe, turn.reason)
