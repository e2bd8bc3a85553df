"""The process: binds, serves, and ends without cutting anybody off."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType

import torch
import uvicorn

from neggen.serving.access import bind
from neggen.serving.api import create_app
from neggen.serving.logs import log, start_logging
from neggen.serving.service import Service
from neggen.serving.settings import ServeSettings, check_reach

KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than load balancers do, who would use it again."""


class _Server(uvicorn.Server):
    """Uvicorn that says "not ready" for a while before it closes its door."""

    def __init__(self, service: Service, address: str, hung_up: threading.Event) -> None:
        config = uvicorn.Config(
            create_app(service),
            log_config=None,
            access_log=False,
            lifespan="on",
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=int(service.settings.timeout) + 1,
        )
        super().__init__(config)
        self._service, self._address, self._hung_up = service, address, hung_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print the address as the first line of standard output."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self._hung_up.is_set():  # from here on the application hears SIGHUP itself
            self._service.look_again(meanwhile=True)
        print(self._address, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at the second."""
        if self._service.draining or sig == signal.SIGINT or not self.started:
            self.should_exit = True
            return
        self._service.draining = True
        log.info("draining", extra={"fields": {"seconds": self._service.settings.drain}})
        self._loop.call_soon_threadsafe(
            self._loop.call_later, self._service.settings.drain, self._end
        )

    def _end(self) -> None:
        self.should_exit = True


@contextmanager
def _hearing() -> Iterator[threading.Event]:
    """Hear signals before anybody is served: the event is set at SIGHUP, which would end us.

    SIGTERM and SIGINT end the process at once; the former would do nothing to process 1, as which
    it runs in a container.
    """
    hung_up = threading.Event()

    def end(sig: int, frame: FrameType | None) -> None:
        os._exit(0 if sig == signal.SIGTERM else 128 + sig)

    def note(sig: int, frame: FrameType | None) -> None:
        hung_up.set()

    handlers = {signal.SIGHUP: note, signal.SIGTERM: end, signal.SIGINT: end}
    former = {sig: signal.signal(sig, handler) for sig, handler in handlers.items()}
    try:
        yield hung_up
    finally:
        for sig, handler in former.items():
            signal.signal(sig, handler)


def _load(settings: ServeSettings) -> Service:
    """Load the run in another thread, since this one hears no signal during a long step."""
    with ThreadPoolExecutor(1, "first") as pool:
        return pool.submit(Service, settings).result()


def serve(settings: ServeSettings) -> None:
    """Serve a run until SIGTERM or SIGINT.

    Raises:
        NegGenError: If the run cannot be served, the address cannot be taken, or it is open to
            others and there is no token.
    """
    check_reach(settings)
    start_logging()
    torch.set_num_threads(1)  # each answer has a thread of its own
    # The address is taken before the model is loaded, but nobody connects until it is.
    with _hearing() as hung_up, bind(settings.host, settings.port) as bound:
        service = _load(settings)
        host, port = bound.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        _Server(service, address, hung_up).run([bound])
