"""The gate every request passes: who asks, how much, for how long; counted and logged.

It works on the bare protocol (ASGI) rather than on requests, since it must look before anything
is read, and at 200 requests a second every layer counts.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neggen.serving.access import is_loopback
from neggen.serving.logs import log
from neggen.serving.refusals import Refusal, busy
from neggen.serving.service import Service

OPEN = ("/healthz", "/readyz")
"""What needs no token and is answered however busy the server is."""
DESCRIPTION = "/openapi.json"
ADMIN = "/v1/admin/reload"
"""What may take longer than the timeout, and goes through however busy the server is."""
REQUEST_ID = re.compile(r"[\w.-]{1,64}")
PORT = re.compile(r":\d+$")
JSON = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)
MODEL_VERSION = "neggen.model_version"
"""Where in the scope a route notes which model it answers with."""
CLIENT_GONE = 499
"""What is logged for a client that did not wait."""


class _Gone(Exception):
    """The client went away."""


class Gate:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._in_flight = 0
        self._origins = frozenset(service.settings.cors_origins)
        token = service.settings.token
        self._token = None if token is None else token.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer with a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        started, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        self._in_flight += 1
        self._service.metrics.in_flight.inc()
        try:
            await self._let_through(scope, headers, receive, answer)
        except _Gone:
            status = CLIENT_GONE
        except Refusal as refusal:
            if not status:
                await refusal.response()(scope, receive, answer)
        except Exception:
            log.exception("request failed", extra={"fields": {"request_id": request_id}})
            if not status:
                await Refusal(500, "Something went wrong here.").response()(scope, receive, answer)
        finally:
            self._in_flight -= 1
            self._service.metrics.in_flight.dec()
            self._note(scope, request_id, status or CLIENT_GONE, started)

    async def _let_through(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send
    ) -> None:
        settings, path = self._service.settings, scope["path"]
        if path in OPEN:
            await self._app(scope, receive, send)
            return
        self._check_sender(path, headers)
        if scope["method"] == "POST":
            _check_type(headers)
        if self._in_flight > settings.concurrency and path != ADMIN:
            raise busy(429, f"{settings.concurrency} requests are under way; try again soon.")
        try:
            async with asyncio.timeout(settings.timeout):
                body = await _read(headers, receive, settings.max_body)
        except TimeoutError:
            raise Refusal(408, "The body took too long to arrive.") from None
        replayed = _replay(body, receive)
        try:
            async with asyncio.timeout(None if path == ADMIN else settings.timeout):
                await self._app(scope, replayed, send)
        except TimeoutError:
            raise busy(503, f"No answer within {settings.timeout:g} seconds.") from None

    def _check_sender(self, path: str, headers: Headers) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != host
        if foreign and not {origin, "*"} & self._origins:
            raise Refusal(403, "A page of another site is served only if --cors-origin names it.")
        if self._token is None:
            # A page of another site can send its own name here, which leads to this machine.
            if not is_loopback(PORT.sub("", host)):
                raise Refusal(403, "Without a token only requests to localhost are served.")
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        known = hmac.compare_digest(token.strip().encode(), self._token)
        if path != DESCRIPTION and not (known and scheme.lower() == "bearer"):
            raise Refusal(
                401,
                "Send the token of this server as 'Authorization: Bearer …'.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _note(self, scope: Scope, request_id: str, status: int, started: float) -> None:
        """Count and log a request by its route: a path may hold ids of items."""
        seconds = time.perf_counter() - started
        route = getattr(scope.get("route"), "path", "unmatched")
        self._service.metrics.requests.labels(route, status).inc()
        self._service.metrics.seconds.labels(route).observe(seconds)
        fields = {
            "request_id": request_id,
            "method": scope["method"],
            "route": route,
            "status": status,
            "milliseconds": round(1000 * seconds, 2),
            "model_version": scope.get(MODEL_VERSION),
        }
        log.info("request", extra={"fields": fields})


def _check_type(headers: Headers) -> None:
    """Refuse what a page of any site could send, since browsers ask nobody before a form."""
    if not JSON.fullmatch(headers.get("content-type", "").partition(";")[0].strip()):
        raise Refusal(415, "Send the body as JSON, with 'Content-Type: application/json'.")


async def _read(headers: Headers, receive: Receive, most: int) -> bytes:
    """Read a body up to a limit, whether its length is announced or not."""
    too_large = Refusal(413, f"A body may have {most:,} bytes.", headers={"Connection": "close"})
    announced = headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > most:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives the application the body, and then what else comes."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
