"""Start an aiohttp application on the loopback: in a thread for tests, or as a program."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web


@contextmanager
def serve_in_thread(app: web.Application) -> Iterator[str]:
    """Serve while the block runs; gives the address, such as ``http://127.0.0.1:40123``."""
    ready = threading.Event()
    ended = asyncio.Event()
    started: list[tuple[asyncio.AbstractEventLoop, str]] = []

    async def serve() -> None:
        runner, url = await _start(app, "127.0.0.1", 0)
        started.append((asyncio.get_running_loop(), url))
        ready.set()
        try:
            await ended.wait()
        finally:
            await runner.cleanup()

    def work() -> None:
        try:
            asyncio.run(serve())  # which also ends what still answers somebody
        finally:
            ready.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ready.wait()
    if not started:
        raise RuntimeError("the server did not start")
    loop, url = started[0]
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


def serve_until_stopped(app: web.Application, host: str, port: int, path: str = "") -> None:
    """Print the address with ``path`` as the first line and serve until SIGINT or SIGTERM."""

    async def serve() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        runner, url = await _start(app, host, port)
        print(f"{url}{path}", flush=True)
        await stopped.wait()
        await runner.cleanup()

    asyncio.run(serve())


async def _start(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, str]:
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    return runner, f"http://{host}:{runner.addresses[0][1]}"
