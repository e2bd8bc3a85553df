"""Who reaches a server: the address it takes, and the token that opens it to others."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from neggen.errors import NegGenError

SHORTEST_TOKEN = 16
"""Characters below which a token could be guessed."""


def given_token(file: Path | None, environment: str | None) -> str | None:
    """Return the token from a file, else from the environment, else None.

    Raises:
        NegGenError: If the file cannot be read.
    """
    if file is None:
        return (environment or "").strip() or None
    try:
        return file.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NegGenError(f"The token file {file} cannot be read: {error}.") from None


def check_host(host: str, variable: str) -> None:
    """Refuse to be open to others, where there is no token; ``variable`` would hold one.

    Raises:
        NegGenError: If the host is not the loopback.
    """
    if not is_loopback(host):
        raise NegGenError(
            f"Without a token only this machine is served, and {host} is open to others; "
            f"set {variable}, give --token-file, or leave --host at 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Return whether a host name or address leads to this machine alone.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "shop.example")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """Take an address, at which nobody can connect before the socket listens.

    Raises:
        NegGenError: If it cannot be taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Named as TCP, or asyncio leaves Nagle's algorithm on, which costs 40 ms a response.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        return bound
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NegGenError(
            f"{host}:{port} cannot be taken ({reason}); choose another --host or "
            f"--port, or --port 0 for one that is free."
        ) from None
