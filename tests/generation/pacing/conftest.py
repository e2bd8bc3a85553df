"""An event loop whose clock jumps to the next timer: hours pass in no time, and exactly."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest


class _JumpingSelector(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise AssertionError("every coroutine waits, and for nothing that could come")
        if not ready:
            self.now += timeout or 0.0
        return ready


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on such a loop; its time starts at 0."""

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        selector = _JumpingSelector()
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: selector.now
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(coroutine)

    return run


@pytest.fixture
def now() -> Callable[[], float]:
    """The time of the running loop."""
    return lambda: asyncio.get_running_loop().time()
