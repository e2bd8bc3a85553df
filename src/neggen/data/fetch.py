"""One picture over HTTP: bounded in size, time and redirections, and polite to its host."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from neggen.data.addresses import Gate, NotAllowed, named_hosts
from neggen.data.retry_after import asked_wait

MOST_REDIRECTIONS = 5
FIRST_WAIT = 1.0
"""Seconds until the second try, doubled for each further one, unless the host says how long."""
LONGEST_WAIT = 30.0
"""Seconds to wait before a further try; a host that wants longer is left for another run."""
GIVEN_UP = "host given up"
CHUNK_BYTES = 2**16
_REDIRECTIONS = (301, 302, 303, 307, 308)
_MAY_PASS = (408, 429, 500, 502, 503, 504)


class FetchFailed(Exception):
    """A picture could not be fetched; the message says why in a few words, to be counted.

    Attributes:
        passes: whether a further try may help.
        wait: seconds that the host asked to wait before it, or None.
    """

    def __init__(self, reason: str, *, passes: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.passes = passes
        self.wait = wait


class Fetcher:
    """Fetches pictures; to be used as an asynchronous context.

    No cookies, credentials or proxies, and nothing is decompressed.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        per_host: int,
        max_bytes: int,
        timeout: float,
        read_timeout: float,
        attempts: int,
        allow_hosts: tuple[str, ...],
        resolver: Callable[[], AbstractResolver],
    ) -> None:
        """Prepare; connections are opened on use.

        Args:
            concurrency: requests in flight at once.
            per_host: requests in flight at one host.
            max_bytes: longest answer.
            timeout: seconds that one try may take, redirections included.
            read_timeout: seconds without a byte until a try is given up.
            attempts: tries in all, where a further one may help.
            allow_hosts: see ``named_hosts``.
            resolver: makes what turns host names to addresses.

        Raises:
            NegGenError: If a host to allow is none.
        """
        self._named = named_hosts(allow_hosts)
        self._resolver = resolver
        self._concurrency = concurrency
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._read_timeout = read_timeout
        self._attempts = attempts
        self._slots = asyncio.Semaphore(concurrency)
        self._host_slots: defaultdict[str | None, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(per_host)
        )
        self._left: set[str | None] = set()  # hosts that asked not to be asked again for long

    async def __aenter__(self) -> Self:
        from neggen import __version__

        self._gate = Gate(self._resolver(), self._named)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency, resolver=self._gate),
            headers={
                "User-Agent": f"neggen/{__version__} (catalogue import)",
                "Accept": "image/*",
                "Accept-Encoding": "identity",
            },
            timeout=aiohttp.ClientTimeout(total=None, sock_read=self._read_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def fetch(self, address: str) -> bytes:
        """Return what a web address answers, after further tries where they may help.

        Raises:
            FetchFailed: If it may not be asked, or does not answer as it should.
        """
        tries = 0
        while True:
            try:
                return await self._follow(address)
            except FetchFailed as failed:
                tries += 1
                wait = failed.wait
                if wait is None:
                    wait = FIRST_WAIT * 2 ** (tries - 1) * random.uniform(0.75, 1.25)
                if not failed.passes or tries >= self._attempts or wait > LONGEST_WAIT:
                    raise
            await asyncio.sleep(wait)

    async def _follow(self, address: str) -> bytes:
        """Make one try: ask, and follow redirections, each of which is checked like the first."""
        left = self._timeout
        target: str | URL = address
        for _ in range(1 + MOST_REDIRECTIONS):
            try:
                url = self._gate.check(target)
                async with self._host_slots[url.raw_host], self._slots:
                    if url.raw_host in self._left:
                        raise FetchFailed(GIVEN_UP)
                    began = time.monotonic()
                    async with asyncio.timeout(left):
                        answer = await self._ask(url)
                    left -= time.monotonic() - began
            except NotAllowed as error:
                raise FetchFailed(str(error)) from None
            except TimeoutError:  # aiohttp's are of this kind too
                raise FetchFailed("time-out", passes=True) from None
            except aiohttp.ClientConnectorCertificateError:
                raise FetchFailed("bad certificate") from None
            except (aiohttp.InvalidURL, ValueError):
                raise FetchFailed("not a web address") from None
            except aiohttp.ClientConnectorDNSError:
                raise FetchFailed("unknown host", passes=True) from None
            except aiohttp.ClientPayloadError:
                raise FetchFailed("cut off", passes=True) from None
            except aiohttp.ClientConnectorError:
                raise FetchFailed("no connection", passes=True) from None
            except (aiohttp.ClientError, OSError):
                raise FetchFailed("broken answer", passes=True) from None
            if isinstance(answer, bytes):
                return answer
            target = answer
        raise FetchFailed(f"over {MOST_REDIRECTIONS} redirections")

    async def _ask(self, url: URL) -> bytes | URL:
        """Return the answer, or where it is to be had instead."""
        async with self._session.get(url, allow_redirects=False) as response:
            location = response.headers.get("Location")
            if response.status in _REDIRECTIONS and location is not None:
                return url.join(URL(location))
            if response.status != 200:
                passes, wait = response.status in _MAY_PASS, asked_wait(response.headers)
                if passes and wait is not None and wait > LONGEST_WAIT:
                    self._left.add(url.raw_host)
                raise FetchFailed(f"http {response.status}", passes=passes, wait=wait)
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise FetchFailed("compressed unasked")
            too_large = FetchFailed(f"over {self._max_bytes / 2**20:g} MiB")
            if (response.content_length or 0) > self._max_bytes:
                raise too_large
            content = bytearray()
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                content += chunk
                if len(content) > self._max_bytes:
                    raise too_large
            return bytes(content)
