"""Which web addresses may be asked for pictures: public ones, and hosts that were named.

A catalogue is untrusted: an address in it must not make this machine ask servers that only this
machine can reach. So what is checked is what is connected to, the resolved address, for every
request and every redirection of it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from neggen.errors import NegGenError

PORTS = (80, 443)
MOST_LETTERS = 4096

# The IANA registries of special-purpose addresses. Python's `is_global` follows them only in
# late patch releases, and lets multicast pass.
_NOT_PUBLIC_4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a carrier's customers, and a cloud's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's metadata, at a public address
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]
_PUBLIC_6 = IPv6Network("2000::/3")
"""All global unicast; IPv4-mapped, NAT64, local and multicast addresses lie outside."""
_NOT_PUBLIC_6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, such as Teredo, which embeds IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds IPv4 addresses
        "3fff::/20",  # documentation
    )
]


class NotAllowed(Exception):
    """An address that may not be asked; the message says why in a few words."""


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet.

    >>> is_public("1.1.1.1"), is_public("10.0.0.1"), is_public("::ffff:1.1.1.1")
    (True, False, False)
    """
    ip: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _NOT_PUBLIC_4)
    return ip in _PUBLIC_6 and not any(ip in network for network in _NOT_PUBLIC_6)


def named_hosts(names: Iterable[str]) -> frozenset[tuple[str, int]]:
    """Return the host and port of each ``HOST`` or ``HOST:PORT``; without a port, 80 and 443.

    Raises:
        NegGenError: If a name is anything else.
    """
    named = set()
    for name in names:
        try:
            url = URL(f"http://{name}")
            port = url.explicit_port
        except ValueError:
            url = URL()
        host = url.raw_host
        if host is None or url.raw_user is not None or name.endswith("/") or url.raw_path != "/":
            raise NegGenError(
                f"'{name}' is no host to allow; give a name or address, optionally with a port, "
                f"such as images.example:8080."
            )
        named |= {(_plain(host), one) for one in ((port,) if port else PORTS)}
    return frozenset(named)


class Gate(AbstractResolver):
    """Lets through what may be asked: checks addresses as written, and as resolved.

    Attributes:
        named: hosts and ports that may have any address, from :func:`named_hosts`.
    """

    def __init__(self, resolver: AbstractResolver, named: frozenset[tuple[str, int]]) -> None:
        self._resolver = resolver
        self.named = named

    def check(self, text: str | URL) -> URL:
        """Return a web address that may be asked, as far as can be told before resolving it.

        Raises:
            NotAllowed: If it may not.
        """
        try:
            url = URL(text)
            host, port = url.raw_host, url.port
        except ValueError:
            raise NotAllowed("not a web address") from None
        if url.scheme not in ("http", "https") or not host or port is None:
            raise NotAllowed("not a web address")
        if len(str(url)) > MOST_LETTERS:
            raise NotAllowed("a very long address")
        if url.raw_user is not None or url.raw_password is not None:
            raise NotAllowed("credentials in the address")
        if (_plain(host), port) in self.named:
            return url
        if port not in PORTS:
            raise NotAllowed(f"port {port}")
        if _is_numeric(host):  # which no resolver is asked about
            try:
                public = is_public(host)
            except ValueError:  # 127.1, 0x7f000001, 017700000001
                public = False
            if not public:
                raise NotAllowed("not a public address")
        return url

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host that may be connected to.

        Raises:
            NotAllowed: If it has addresses, but none of them is public.
        """
        found = await self._resolver.resolve(host, port, family)
        if (_plain(host), port) in self.named:
            return found
        public = [one for one in found if is_public(one["host"])]
        if found and not public:
            raise NotAllowed("not a public address")
        return public

    async def close(self) -> None:
        """Close the resolver within."""
        await self._resolver.close()


def _plain(host: str) -> str:
    return host.rstrip(".").lower()


def _is_numeric(host: str) -> bool:
    last = _plain(host).rpartition(".")[2]
    return ":" in host or last.isdigit() or last.startswith("0x")
