"""The process: binds, serves, and ends without cutting anybody off."""

from __future__ import annotations

import asyncio
import signal
import socket
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

    def __init__(self, service: Service, address: str) -> None:
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
        self._service, self._address = service, address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print the address as the first line of standard output."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        print(self._address, flush=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at the second."""
        if self._service.draining or sig == signal.SIGINT:
            self.should_exit = True
            return
        self._service.draining = True
        log.info("draining", extra={"fields": {"seconds": self._service.settings.drain}})
        self._loop.call_soon_threadsafe(
            self._loop.call_later, self._service.settings.drain, self._end
        )

    def _end(self) -> None:
        self.should_exit = True


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
    with bind(settings.host, settings.port) as bound:
        service = Service(settings)
        host, port = bound.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        _Server(service, address).run([bound])
