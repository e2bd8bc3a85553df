"""The connection to one server: sends JSON, returns what came, and keeps the key to itself."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from neggen.errors import NegGenError

if TYPE_CHECKING:
    import aiohttp

KEY_VARIABLE = "OPENAI_API_KEY"
MOST_BYTES = 16 * 2**20
"""A longer reply is given up, be it what it may."""
CONNECT_SECONDS = 30.0
SHORTEST_SECRET = 6
"""Characters; a shorter key, such as ``EMPTY``, is a placeholder and may be a word of an answer."""


@dataclass(frozen=True)
class Reply:
    """What the server said.

    Attributes:
        status: the HTTP status.
        headers: by case-insensitive name.
        body: as sent, so that an error may echo the key; see :meth:`Wire.redact`.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


@dataclass(frozen=True)
class Lost:
    """No whole reply came.

    Attributes:
        kind: ``timeout``, ``unreachable``, ``cut off`` or ``too much``.
        reason: a sentence.
    """

    kind: str
    reason: str


class Wire:
    """Connections to one server, verified by the system's certificates and through its proxy.

    This is aiohttp itself: the ``openai`` client takes ten times the CPU for the same request.

    Attributes:
        address: the server as errors name it.
    """

    def __init__(self, base_url: str, timeout: float) -> None:
        """Prepare; nothing is sent yet.

        Args:
            base_url: address of the API, such as ``http://localhost:8000/v1``.
            timeout: seconds until a request is given up.

        Raises:
            NegGenError: If the address or the key in ``OPENAI_API_KEY`` cannot be used.
        """
        self._url, self.address = _checked(base_url)
        self._timeout = timeout
        self._key = key_in_environment()
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None

    async def post(self, path: str, body: bytes) -> Reply | Lost:
        """Send JSON to ``path`` under the base URL."""
        return await self._exchange("POST", path, body)

    async def get(self, path: str) -> Reply | Lost:
        """Ask for ``path`` under the base URL."""
        return await self._exchange("GET", path, None)

    def redact(self, text: str) -> str:
        """Return what the server said of a failure without the key, should it echo it."""
        return redact(text, self._key)

    def redact_answer(self, text: str) -> str:
        """Return an answer without the key; see :data:`SHORTEST_SECRET`."""
        return redact(text, self._key, SHORTEST_SECRET)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, method: str, path: str, body: bytes | None) -> Reply | Lost:
        # Exceptions of aiohttp hold the request with its headers, so none may leave this function,
        # not even as the context of another.
        import aiohttp

        session = self._session or self._open()
        try:
            async with session.request(
                method, self._url.format(path), data=body, proxy=self._proxy, allow_redirects=False
            ) as response:
                received = bytearray()
                async for chunk in response.content.iter_any():
                    received += chunk
                    if len(received) > MOST_BYTES:
                        response.close()
                        return Lost("too much", f"The server sent more than {MOST_BYTES} bytes.")
                return Reply(response.status, response.headers, bytes(received))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Lost("unreachable", self.redact(str(error)))
        except TimeoutError:
            return Lost("timeout", f"The server did not answer within {self._timeout:g} seconds.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = self.redact(str(error) or type(error).__name__)
            return Lost("cut off", f"The connection was cut: {reason}.")

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        parts = urlsplit(self._url)
        if not urllib.request.proxy_bypass(parts.hostname or ""):
            self._proxy = urllib.request.getproxies().get(parts.scheme)
        self._session = aiohttp.ClientSession(
            headers={
                "Authorization": f"Bearer {self._key or 'none'}",
                "Content-Type": "application/json",
                "User-Agent": "neggen",
            },
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(
                total=self._timeout, sock_connect=min(self._timeout, CONNECT_SECONDS)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session


def _checked(base_url: str) -> tuple[str, str]:
    """Return a template for the addresses under ``base_url``, and its name in errors."""
    if "@" in base_url:
        raise NegGenError(
            "The base URL holds a user name or password, which would end up in logs; leave it out "
            f"and put the key into the environment variable {KEY_VARIABLE}."
        )
    try:
        parts = urlsplit(base_url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or "{" in base_url or "}" in base_url:
        raise NegGenError(
            f"The base URL '{base_url.partition('?')[0]}' should start with http:// or https://, "
            "such as http://localhost:8000/v1."
        )
    address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return f"{address}/{{}}" + (f"?{parts.query}" if parts.query else ""), address


def redact(text: str, key: str | None, shortest: int = 1) -> str:
    """Return a text without the key, plain or as in an address.

    Args:
        text: from a server.
        key: the key; None if there is none.
        shortest: a key of fewer characters stays.
    """
    if key is not None and len(key) >= shortest:
        for secret in (key, quote(key, safe="")):
            text = text.replace(secret, "[key]")
    return text


def key_in_environment() -> str | None:
    """Return the key in ``OPENAI_API_KEY``; None if there is none.

    Raises:
        NegGenError: If it holds characters that no key has.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise NegGenError(
            f"The environment variable {KEY_VARIABLE} holds characters that no key has; set it "
            "again, without line breaks."
        )
    return key or None
