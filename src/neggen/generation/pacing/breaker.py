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
        self._silent_since: float | None = None
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
            Whether it is a probe. Then :meth:`alive`, :meth:`failed`, :meth:`busy` or
            :meth:`abandoned` must follow.
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
        self._silent_since = None

    def failed(self, probe: bool, reason: str) -> None:
        """The server did not answer, or only with an error of its own.

        Args:
            probe: what :meth:`wait` returned to the request.
            reason: what happened, for the error.

        Raises:
            NegGenError: If this was the last probe that ``patience`` allows.
        """
        silence = self._silence()
        self._failures += 1
        if probe:
            self._probed(silence, reason)
        elif self._failures == FAILURES:
            self._cooldown = self._first_cooldown
            self._plan_probe(silence)

    def busy(self, probe: bool, reason: str) -> None:
        """The server only asked to be left alone: neither a failure nor a sign of life.

        Args:
            probe: what :meth:`wait` returned to the request.
            reason: what the server said, for the error.

        Raises:
            NegGenError: If nothing else has come for ``patience`` seconds.
        """
        silence = self._silence()
        if probe:
            self._probed(silence, reason)
        elif not self.is_open:
            self._check_patience(silence, reason)

    def _silence(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._silent_since is None:
            self._silent_since = now
        return now - self._silent_since

    def _probed(self, silence: float, reason: str) -> None:
        self._probing = False
        self._check_patience(silence, reason)
        self._cooldown = min(2 * self._cooldown, LONGEST_COOLDOWN)
        self._plan_probe(silence)

    def _plan_probe(self, silence: float) -> None:
        pause = min(self._cooldown, max(self._patience - silence, 0.0))
        self._probe_at = asyncio.get_running_loop().time() + pause
        self._wake()

    def _check_patience(self, silence: float, reason: str) -> None:
        if silence >= self._patience:
            self._wake()
            raise NegGenError(
                f"The server {self._server} has answered nothing for {silence:.0f} seconds "
                f"({reason}); answers so far are kept: run the same command again when it is well."
            )

    def abandoned(self, probe: bool) -> None:
        """A request that :meth:`wait` let through was not sent, or nobody waited for its answer."""
        if probe:
            self._probing = False
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
