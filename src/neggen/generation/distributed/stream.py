"""A blocking iterator as an asynchronous one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Stream(Generic[Value]):
    """What an iterator yields in a thread of its own.

    Waiting for the next value may be cancelled, and the stream goes on all the same.
    """

    def __init__(self, begin: Callable[[], Iterator[Value]]) -> None:
        """Start the thread, which calls ``begin``; the process does not wait for it to end."""
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[Value] | Exception | None] = asyncio.Queue()
        self._ended = False
        threading.Thread(target=self._work, args=(begin,), daemon=True).start()

    def _work(self, begin: Callable[[], Iterator[Value]]) -> None:
        try:
            for value in begin():
                self._put((value,))
            self._put(None)
        except Exception as error:  # whoever waits for a value must hear of it
            self._put(error)

    def _put(self, what: tuple[Value] | Exception | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._queue.put_nowait, what)

    def __aiter__(self) -> Stream[Value]:
        """Return the stream."""
        return self

    async def __anext__(self) -> Value:
        """Return the next value; once the stream has ended or failed, there is none."""
        if self._ended:
            raise StopAsyncIteration
        return self._value(await self._queue.get())

    async def with_pauses(self, seconds: float) -> AsyncIterator[Value | None]:
        """Yield the values, and None whenever there is none for some seconds."""
        while not self._ended:
            try:
                what = await asyncio.wait_for(self._queue.get(), seconds)
            except TimeoutError:
                yield None
                continue
            try:
                value = self._value(what)
            except StopAsyncIteration:
                return
            yield value

    def _value(self, what: tuple[Value] | Exception | None) -> Value:
        if isinstance(what, tuple):
            return what[0]
        self._ended = True
        raise StopAsyncIteration if what is None else what
