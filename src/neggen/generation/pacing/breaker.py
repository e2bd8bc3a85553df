"""While a server is down, one request asks whether it is up again, and the others wait."""

from __future__ import annotations

import asyncio

from neggen.errors import NegGenError

FAILURES = 10
"""Failures in a row, over all requests, after which a server counts as down."""
LONGEST_COOLDOWN = 60.0


class Breaker:
    """A circuit breaker.

    After ``FAILURES`` failures in a row it opens: nothing is sent until a cool-down is over, then
    a single probe. A failed probe doubles the cool-down; any sign of life closes the breaker.
    """

    def __init__(self, server: str, *, patience: float, cooldown: float = 1.0) -> None:
        """Begin closed.

        Args:
            server: how to name the server in the error.
            patience: seconds without any sign of life after which to give up.
            cooldown: seconds before the first probe.
        """
        self._server = server
        self._patience = patience
        self._first_cooldown = self._cooldown = cooldown
        self._failures = 0
        self._last_life = 0.0
        self._probe_at = 0.0
        self._probing = False
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._failures >= FAILURES

    async def wait(self) -> bool:
        """Wait until a request may be sent.

        Returns:
            Whether it is a probe. Then :meth:`alive`, :meth:`failed` or :meth:`abandoned` must
            follow.
        """
        clock = asyncio.get_running_loop().time
        while self.is_open:
            pause = None if self._probing else self._probe_at - clock()
            if pause is not None and pause <= 0:
                self._probing = True
                return True
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return False

    def alive(self) -> None:
        """The server answered, be it with a refusal."""
        if self.is_open:
            self._probing = False
            self._wake()
        self._failures = 0

    def failed(self, probe: bool, reason: str) -> None:
        """The server did not answer, or only with an error of its own.

        Args:
            probe: what :meth:`wait` returned to the request.
            reason: what happened, for the error.

        Raises:
            NegGenError: If this was the last probe that ``patience`` allows.
        """
        now = asyncio.get_running_loop().time()
        if self._failures == 0:
            self._last_life = now
        self._failures += 1
        give_up_at = self._last_life + self._patience
        if probe:
            self._probing = False
            if now >= give_up_at:
                self._wake()
                raise NegGenError(
                    f"The server {self._server} has not answered for {now - self._last_life:.0f} "
                    f"seconds ({reason}); answers so far are kept: run the same command again when "
                    "it is up."
                )
            self._cooldown = min(2 * self._cooldown, LONGEST_COOLDOWN)
        elif self._failures == FAILURES:
            self._cooldown = self._first_cooldown
        else:
            return
        self._probe_at = min(now + self._cooldown, max(give_up_at, now))
        self._wake()

    def abandoned(self, probe: bool) -> None:
        """A request that :meth:`wait` let through was not sent, or nobody waited for its answer."""
        if probe:
            self._probing = False
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
