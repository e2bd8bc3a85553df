"""A proxy that puts faults between a client and any OpenAI-compatible server.

    python -m neggen.testing.fault_proxy --upstream http://127.0.0.1:8000/v1 --rate 0.2 --seed 1

Whether and how a request fails follows from the seed, the request's body and how often that body
came before, not from timing: the same run meets the same faults, and a request tried again
meets a new draw.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from neggen.testing.chat_server import LARGEST_BODY, completion
from neggen.testing.serving import serve_until_stopped

if TYPE_CHECKING:
    from aiohttp import ClientSession, web

FAULTS = {
    "latency": "answered late",
    "http 429": "refused with retry-after, not forwarded",
    "http 500": "an error of the server, not forwarded",
    "http 503": "an overloaded server, not forwarded",
    "cut before": "connection closed, not forwarded",
    "cut after": "connection closed once the server had answered",
    "half": "the server's answer cut in its middle, under its full Content-Length",
    "not json": "HTTP 200 with a page of HTML",
    "rubbish": "a completion whose text is not what was asked for",
    "two bodies": "the server's answer twice in one body",
    "no choices": "a completion without choices",
    "stale": "the answer to the request before, which no client can notice",
}
NOTICEABLE = tuple(fault for fault in FAULTS if fault != "stale")
_NOT_FORWARDED = frozenset(("host", "content-length", "transfer-encoding", "connection"))


class FaultProxy:
    """Decides, injects and counts.

    Attributes:
        counts: requests by fault; those without are counted as ``none``.
    """

    def __init__(
        self,
        upstream: str,
        faults: Mapping[str, float],
        *,
        seed: int = 0,
        latency: float = 1.0,
        retry_after: float = 0.05,
        log: TextIO | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            upstream: base URL of the server, with its path.
            faults: probability of each fault, see ``FAULTS``; they add up to at most 1.
            seed: of the draws.
            latency: seconds that a late answer is late.
            retry_after: seconds that a 429 asks to wait.
            log: gets one JSON line a request: time, path, hash of the body, its how-many-th, fault.

        Raises:
            ValueError: For an unknown fault or impossible probabilities.
        """
        unknown = set(faults) - set(FAULTS)
        if unknown:
            raise ValueError(f"no fault {unknown.pop()!r}; there are {', '.join(FAULTS)}")
        if min(faults.values(), default=0) < 0 or sum(faults.values()) > 1 + 1e-9:
            raise ValueError("probabilities are at least 0 and add up to at most 1")
        parts = urlsplit(upstream)
        self._root = f"{parts.scheme}://{parts.netloc}"
        self._faults = dict(faults)
        self._seed = seed
        self._latency = latency
        self._retry_after = retry_after
        self._log = log
        self._seen: Counter[str] = Counter()
        self._last: bytes | None = None
        self._session: ClientSession | None = None
        self.counts: Counter[str] = Counter()

    def app(self) -> web.Application:
        """Return the proxy as an aiohttp application; POST requests may meet faults."""
        from aiohttp import ClientSession, TCPConnector, web

        async def sessions(app: web.Application) -> AsyncIterator[None]:
            async with ClientSession(connector=TCPConnector(limit=0)) as self._session:
                yield

        app = web.Application(client_max_size=LARGEST_BODY)
        app.cleanup_ctx.append(sessions)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    def draw(self, body: bytes) -> str:
        """Return the fault of this request, or ``none``, and count it."""
        identity = hashlib.sha256(body).hexdigest()
        self._seen[identity] += 1
        chance = random.Random(f"{self._seed} {identity} {self._seen[identity]}").random()
        fault = "none"
        for name, probability in self._faults.items():
            if chance < probability:
                fault = name
                break
            chance -= probability
        self.counts[fault] += 1
        return fault

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        body = await request.read()
        fault = self.draw(body) if request.method == "POST" else "none"
        self._write(request, body, fault)
        if fault == "latency":
            await asyncio.sleep(self._latency)
        if fault in ("http 429", "http 500", "http 503"):
            headers = {"retry-after": f"{self._retry_after:g}"} if fault == "http 429" else {}
            error = {"error": {"message": f"injected {fault}"}}
            return web.json_response(error, status=int(fault.split()[1]), headers=headers)
        if fault == "cut before":
            return _cut(request)
        status, headers, answer = await self._forward(request, body)
        before, self._last = self._last, answer
        if fault == "cut after":
            return _cut(request)
        if fault == "half":
            return await _half(request, status, headers, answer)
        if fault == "not json":
            return web.Response(text="<html>The gateway is tired.</html>", content_type="text/html")
        if fault == "rubbish":
            return web.json_response(completion("The item is nice. I hope this helps!"))
        if fault == "no choices":
            return web.json_response({**completion(""), "choices": []})
        if fault == "stale" and before is not None:
            answer = before
        if fault == "two bodies":
            answer += answer
        return web.Response(body=answer, status=status, headers=headers)

    async def _forward(
        self, request: web.Request, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        from aiohttp import ClientError

        assert self._session is not None  # opened with the application
        kept = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _NOT_FORWARDED
        }
        try:
            async with self._session.request(
                request.method, f"{self._root}{request.path_qs}", data=body, headers=kept
            ) as response:
                wanted = ("Content-Type", "retry-after", "retry-after-ms")
                headers = {
                    name: response.headers[name] for name in wanted if name in response.headers
                }
                return response.status, headers, await response.read()
        except ClientError as error:
            message = {"error": {"message": f"the upstream server failed: {error}"}}
            return 502, {"Content-Type": "application/json"}, json.dumps(message).encode()

    def _write(self, request: web.Request, body: bytes, fault: str) -> None:
        if self._log is not None:
            identity = hashlib.sha256(body).hexdigest()
            line: dict[str, Any] = {
                "time": time.time(),
                "path": request.path,
                "body": identity,
                "try": self._seen[identity],
                "fault": fault,
            }
            self._log.write(json.dumps(line) + "\n")
            self._log.flush()


def _cut(request: web.Request) -> web.StreamResponse:
    from aiohttp import web

    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere


async def _half(
    request: web.Request, status: int, headers: dict[str, str], answer: bytes
) -> web.StreamResponse:
    from aiohttp import web

    response = web.StreamResponse(
        status=status, headers={**headers, "Content-Length": str(len(answer))}
    )
    await response.prepare(request)
    await response.write(answer[: len(answer) // 2])
    if request.transport is not None:
        request.transport.close()  # what was written still goes out
    return response


def main() -> None:
    """Run the proxy as a program; at its end it prints the counts as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upstream", required=True, help="base URL of the server, with /v1")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--rate", type=float, default=0.0, help="shared by all noticeable faults")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=PROBABILITY",
        help=f"one fault, repeatable: {', '.join(FAULTS)}",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds a late answer is late")
    parser.add_argument("--log", type=Path, help="append one JSON line a request to this file")
    options = parser.parse_args()
    faults = dict.fromkeys(NOTICEABLE, options.rate / len(NOTICEABLE))
    log = options.log.open("a", encoding="utf-8") if options.log else None
    try:
        for name, _, probability in (fault.partition("=") for fault in options.fault):
            faults[name] = float(probability)
        proxy = FaultProxy(
            options.upstream, faults, seed=options.seed, latency=options.latency, log=log
        )
    except ValueError as error:
        sys.exit(f"fault_proxy: {error}")
    path = urlsplit(options.upstream).path.rstrip("/")
    serve_until_stopped(proxy.app(), options.host, options.port, path)
    print(json.dumps(proxy.counts), flush=True)


if __name__ == "__main__":
    main()
