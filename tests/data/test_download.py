"""Pictures are downloaded once, within limits, from public addresses only, whatever servers do."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from aiohttp import DefaultResolver, web
from aiohttp.abc import AbstractResolver, ResolveResult
from PIL import Image
from yarl import URL

from neggen.cli import main
from neggen.data.addresses import Gate, NotAllowed, is_public, named_hosts
from neggen.data.dataset import Dataset
from neggen.data.download import Downloads, download_images
from neggen.errors import NegGenError

LOG = pl.DataFrame({"user_id": ["u"], "item_id": ["0"]})


def picture(color: str = "red", size: int = 30) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), color).save(file, "PNG")
    return file.getvalue()


@dataclass
class Shop:
    """A server of pictures on the loopback that logs requests; ``routes`` say what else it does."""

    routes: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(
        default_factory=dict
    )
    delay: float = 0.0
    requests: list[web.BaseRequest] = field(default_factory=list)
    answered: int = 0
    port: int = 0
    in_flight: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str, host: str | None = None) -> str:
        return f"http://{host or self.host}{path}"

    def asked(self) -> Counter[str]:
        return Counter(request.path for request in self.requests)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        name = request.host.partition(":")[0]
        for key in (name, "all"):
            self.in_flight[key] += 1
            self.most[key] = max(self.most[key], self.in_flight[key])
        try:
            await asyncio.sleep(self.delay)
            if request.path in self.routes:
                return await self.routes[request.path](request)
            return web.Response(body=picture() + request.path.encode())
        finally:
            for key in (name, "all"):
                self.in_flight[key] -= 1
            self.answered += 1


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop, loop, ready = Shop(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{path:.*}", shop.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        shop.port = runner.addresses[0][1]
        return runner

    def work() -> None:
        runner = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(5)
    yield shop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


class Names(AbstractResolver):
    """Every name is known, and leads to one address, as an attacker's name server may have it."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0)
            for one in self.addresses
        ]

    async def close(self) -> None:
        pass


def download(
    folder: Path, *addresses: str | None, **options: Any
) -> tuple[list[str | None], tuple[str, ...]]:
    items = pl.DataFrame(
        {"item_id": range(len(addresses)), "image": addresses}, schema_overrides={"image": str}
    )
    table, notes = download_images(items, "image", Downloads(folder=folder, **options))
    return table["image"].to_list(), notes


def reason(folder: Path, address: str, **options: Any) -> str:
    """Why one picture could not be had."""
    names, (note,) = download(folder, address, **options)
    assert names == [None]
    assert list(folder.iterdir()) == []
    return note.rpartition("(")[2].removesuffix(").")


# -- what is downloaded -------------------------------------------------------------------------


def test_pictures_are_named_by_hashes_and_fetched_once(shop: Shop, tmp_path: Path) -> None:
    first, second = shop.url("/../../a.png?size=1"), shop.url("/b")
    given = [first, None, f" {second} ", "local.png", first, second]
    seen: list[tuple[int, int]] = []
    names, notes = download(
        tmp_path / "new",
        *given,
        allow_hosts=(shop.host,),
        on_progress=lambda *at: seen.append(at),
    )
    hashes = [hashlib.sha256(url.encode()).hexdigest() for url in (first, second)]
    assert names == [hashes[0], None, hashes[1], "local.png", hashes[0], hashes[1]]
    assert notes == ()
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(hashes)
    assert (tmp_path / "new" / hashes[1]).read_bytes() == picture() + b"/b"
    assert sum(shop.asked().values()) == 2
    assert (seen[0], seen[-1]) == ((0, 2), (2, 2))


def test_a_second_run_downloads_only_what_is_missing(shop: Shop, tmp_path: Path) -> None:
    urls = [shop.url(f"/{number}") for number in range(5)]
    download(tmp_path, *urls[:3], allow_hosts=(shop.host,))
    (tmp_path / f".{'a' * 64}.x1_z.tmp").write_bytes(b"of a killed run")
    (tmp_path / "mine.tmp").write_bytes(b"")
    names, _ = download(tmp_path, *urls, allow_hosts=(shop.host,))
    assert None not in names
    assert shop.asked() == {f"/{number}": 1 for number in range(5)}
    assert {path.name for path in tmp_path.iterdir()} == {*map(str, names), "mine.tmp"}


def test_a_killed_run_leaves_nothing_half(shop: Shop, tmp_path: Path) -> None:
    shop.delay = 0.02
    urls = [shop.url(f"/{number}") for number in range(60)]
    code = (
        "import json, sys, polars as pl\nfrom pathlib import Path\n"
        "from neggen.data.download import Downloads, download_images\n"
        "folder, host, *urls = sys.argv[1:]\n"
        "items = pl.DataFrame({'image': urls})\n"
        "download_images(items, 'image', Downloads(Path(folder), allow_hosts=(host,)))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), shop.host, *urls])
    while shop.answered < 20:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    whole = [path for path in tmp_path.iterdir() if not path.name.endswith(".tmp")]
    assert 0 < len(whole) < 60
    for path in whole:
        assert path.read_bytes().startswith(picture())
    before = len(shop.requests)
    names, notes = download(tmp_path, *urls, allow_hosts=(shop.host,))
    assert notes == ()
    assert len(shop.requests) - before == 60 - len(whole)
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_failures_are_counted_by_reason_and_named_without_secrets(
    shop: Shop, tmp_path: Path
) -> None:
    async def gone(request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    shop.routes = {"/gone": gone, "/gone2": gone}
    urls = [shop.url(path) for path in ("/gone?token=secret", "/gone2", "/there")]
    urls.append(f"http://user:secret@{shop.host}/x")
    names, (note,) = download(tmp_path, *urls, allow_hosts=(shop.host,))
    assert [name is None for name in names] == [True, True, False, True]
    assert note == (
        "Masked 3 of 4 pictures that could not be downloaded: http 404 (2), credentials in the "
        f"address (1); first {shop.url('/gone')} (http 404)."
    )


def test_it_works_where_a_loop_runs_already(shop: Shop, tmp_path: Path) -> None:
    async def notebook() -> list[str | None]:
        return download(tmp_path, shop.url("/1"), allow_hosts=(shop.host,))[0]

    assert asyncio.run(notebook()) != [None]


# -- what servers do ----------------------------------------------------------------------------


def test_what_is_no_picture_is_not_kept(shop: Shop, tmp_path: Path) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="image/png")

    async def cut(request: web.Request) -> web.Response:
        return web.Response(body=picture(size=90)[:60], content_type="image/png")

    async def nothing(request: web.Request) -> web.Response:
        return web.Response(body=b"")

    shop.routes = {"/page": page, "/cut": cut, "/nothing": nothing}
    allowed = {"allow_hosts": (shop.host,), "attempts": 1}
    assert reason(tmp_path, shop.url("/page"), **allowed) == "SVG or HTML is not accepted"
    assert reason(tmp_path, shop.url("/cut"), **allowed) == "cut off"
    assert reason(tmp_path, shop.url("/nothing"), **allowed) == "empty"


def test_what_is_too_large_is_stopped(shop: Shop, tmp_path: Path) -> None:
    sent = Counter[str]()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while sent["endless"] < 2**30:
            await response.write(bytes(2**16))
            sent["endless"] += 2**16
        return response

    async def declared(request: web.Request) -> web.Response:
        return web.Response(body=bytes(2**21))

    async def bomb(request: web.Request) -> web.Response:
        body = gzip.compress(picture() + bytes(2**24))
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    shop.routes = {"/endless": endless, "/declared": declared, "/bomb": bomb}
    options = {"allow_hosts": (shop.host,), "max_bytes": 2**20}
    assert reason(tmp_path, shop.url("/endless"), **options) == "over 1 MiB"
    assert sent["endless"] < 2**26, "what the two systems' buffers hold, and not all"
    assert reason(tmp_path, shop.url("/declared"), **options) == "over 1 MiB"
    assert reason(tmp_path, shop.url("/bomb"), **options) == "compressed unasked"
    assert shop.asked() == {"/endless": 1, "/declared": 1, "/bomb": 1}, "none of it is asked again"


def test_lengths_that_lie(shop: Shop, tmp_path: Path) -> None:
    def lying(length: int) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            request.transport.write(picture(size=90))
            request.transport.close()
            return web.Response()

        return answer

    shop.routes = {"/long": lying(10_000), "/short": lying(60), "/huge": lying(10**15)}
    options = {"allow_hosts": (shop.host,), "attempts": 1}
    broken = ("cut off", "broken answer")  # as the last bytes come in time or not
    for path, told in (("/long", broken), ("/short", broken), ("/huge", ("over 20 MiB",))):
        assert reason(tmp_path, shop.url(path), **options) in told


def test_servers_that_take_their_time(shop: Shop, tmp_path: Path) -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(3)
        return web.Response(body=picture())

    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for byte in picture():
            await response.write(bytes([byte]))
            await asyncio.sleep(0.05)
        return response

    shop.routes = {"/silent": silent, "/dripping": dripping}
    options = {"allow_hosts": (shop.host,), "attempts": 1}
    assert reason(tmp_path, shop.url("/silent"), read_timeout=0.2, **options) == "time-out"
    assert reason(tmp_path, shop.url("/dripping"), timeout=0.4, **options) == "time-out"


def test_busy_servers_are_asked_again_as_they_say(shop: Shop, tmp_path: Path) -> None:
    def after(tries: int, status: int, wait: str) -> Any:
        async def answer(request: web.Request) -> web.Response:
            if shop.asked()[request.path] <= tries:
                return web.Response(status=status, headers={"Retry-After": wait})
            return web.Response(body=picture())

        return answer

    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    shop.routes = {
        "/busy": after(2, 429, "0"), "/broken": after(1, 503, past),
        "/dead": after(99, 500, "0"), "/no": after(1, 403, "86400"),
        "/odd": after(1, 503, "Mon, 01 Jan 2024 00:00:00 +99999999999999"),
    }  # fmt: skip
    urls = [shop.url(path) for path in shop.routes]
    names, (note,) = download(tmp_path, *urls, allow_hosts=(shop.host,))
    assert [name is not None for name in names] == [True, True, False, False, True]
    assert shop.asked() == {"/busy": 3, "/broken": 2, "/dead": 3, "/no": 1, "/odd": 2}
    assert "downloaded: http 500 (1), http 403 (1);" in note


@pytest.mark.parametrize("redirected", [False, True])
def test_a_host_that_asks_for_long_is_left_alone_at_once(
    shop: Shop, tmp_path: Path, redirected: bool
) -> None:
    async def closed(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "86400"})

    async def onward(request: web.Request) -> web.Response:
        target = f"//closed.example:{shop.port}/{request.path[1:]}-there"
        return web.Response(status=302, headers={"Location": target})

    paths = [f"/{number}" for number in range(50)]
    shop.routes = dict.fromkeys(paths, onward if redirected else closed)
    shop.routes |= {f"{path}-there": closed for path in paths}
    host, open_host = f"first.example:{shop.port}", f"open.example:{shop.port}"
    allowed = (host, open_host, f"closed.example:{shop.port}")
    urls = [*(shop.url(path, host) for path in paths), shop.url("/a", open_host)]
    options = {"allow_hosts": allowed, "resolver": lambda: Names("127.0.0.1")}
    names, (note,) = download(tmp_path, *urls, **options)
    assert [name is not None for name in names] == [False] * 50 + [True]
    refused = [each for each in shop.requests if shop.routes.get(each.path) is closed]
    assert len(refused) <= 4, "no more than were under way"
    assert f"host given up ({50 - len(refused)}), http 429 ({len(refused)})" in note


def test_a_cut_connection_is_tried_again(shop: Shop, tmp_path: Path) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        if shop.asked()[request.path] == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=picture())

    shop.routes = {"/cut": cut}
    assert download(tmp_path, shop.url("/cut"), allow_hosts=(shop.host,))[1] == ()
    assert shop.asked()["/cut"] == 2


def test_a_dead_host_is_given_up(shop: Shop, tmp_path: Path) -> None:
    async def dead(request: web.Request) -> web.Response:
        return web.Response(status=503)

    urls = [shop.url(f"/{number}") for number in range(100)]
    shop.routes = {f"/{number}": dead for number in range(100)}
    living = shop.url("/alive", f"localhost:{shop.port}")
    options = {"allow_hosts": (shop.host, f"localhost:{shop.port}"), "attempts": 1}
    names, (note,) = download(tmp_path, *urls, living, **options)
    assert sum(name is not None for name in names) == 1
    assert 20 <= len(shop.requests) - 1 <= 23
    assert "host given up" in note


def test_hosts_are_treated_politely(shop: Shop, tmp_path: Path) -> None:
    shop.delay = 0.02
    hosts = [f"{name}.example:{shop.port}" for name in "abcd"]
    urls = [shop.url(f"/{number}", host) for host in hosts for number in range(12)]
    options = {"allow_hosts": tuple(hosts), "resolver": lambda: Names("127.0.0.1")}
    assert download(tmp_path, *urls, concurrency=6, per_host=2, **options)[1] == ()
    assert [shop.most[f"{name}.example"] for name in "abcd"] == [2, 2, 2, 2]
    assert shop.most["all"] == 6


def test_many_hosts_are_asked_in_turn(shop: Shop, tmp_path: Path) -> None:
    hosts = [f"h{number}.example:{shop.port}" for number in range(400)]
    urls = [shop.url("/", host) for host in hosts]
    tasks: list[int] = []
    names, notes = download(
        tmp_path,
        *urls,
        concurrency=8,
        allow_hosts=tuple(hosts),
        resolver=lambda: Names("127.0.0.1"),
        on_progress=lambda *_: tasks.append(len(asyncio.all_tasks())),
    )
    assert (None in names, notes) == (False, ())
    assert max(tasks) < 150


def test_a_host_that_many_redirect_to_is_treated_politely(shop: Shop, tmp_path: Path) -> None:
    async def onward(request: web.Request) -> web.Response:
        target = f"//one.example:{shop.port}/{request.host.partition('.')[0]}"
        return web.Response(status=302, headers={"Location": target})

    shop.delay, shop.routes = 0.02, {"/": onward}
    hosts = [f"{name}.example:{shop.port}" for name in ("one", *"abcdefgh")]
    urls = [shop.url("/", host) for host in hosts[1:]]
    options = {"allow_hosts": tuple(hosts), "resolver": lambda: Names("127.0.0.1")}
    assert download(tmp_path, *urls, per_host=2, **options)[1] == ()
    assert shop.most["one.example"] == 2


def test_requests_say_who_asks_and_carry_nothing_else(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cookie(request: web.Request) -> web.Response:
        return web.Response(body=picture(), headers={"Set-Cookie": "a=b"})

    shop.routes = {"/1": cookie}
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret")
    host = f"pictures.example:{shop.port}"  # cookies are kept for names alone
    urls = [shop.url("/1", host), shop.url("/2", host), shop.url("/3")]
    options = {"allow_hosts": (host, shop.host), "resolver": lambda: Names("127.0.0.1")}
    assert download(tmp_path / "new", *urls, per_host=1, **options)[1] == ()
    assert len(shop.requests) == 3
    for request in shop.requests:
        assert request.headers["User-Agent"].startswith("neggen/")
        assert {"Cookie", "Authorization", "Referer"}.isdisjoint(request.headers)


# -- where requests may go ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192",
        "168.63.129.16", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:1.1.1.1", "fe80::1", "fe80::1%lo",
        "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "4000::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111",
     "2a00:1450:4001:81b::200e"],
)  # fmt: skip
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://2130706433/",
        "http://127.1/", "http://0x7f.0.0.1/", "http://0x7f000001/", "http://0177.0.0.1/",
        "http://017700000001/", "http://127.0.0.1./", "http://①②⑦.0.0.1/", "http://[fe80::1%25lo]/",
        "http://1.1.1.1:22/", "http://user@1.1.1.1/", "http://:pw@1.1.1.1/", "https:///x",
        "http://[::1/", "ftp://1.1.1.1/", "file:///etc/passwd", "gopher://1.1.1.1/", "x",
        "http://1.1.1.1/" + "a" * 5000, "http://1.1.1.1:99999/",
    ],
)  # fmt: skip
def test_addresses_that_are_refused_as_written(url: str) -> None:
    with pytest.raises(NotAllowed):
        Gate(Names("1.1.1.1"), frozenset()).check(url)


def test_addresses_that_are_let_through() -> None:
    gate = Gate(Names("1.1.1.1"), named_hosts(["10.0.0.7:8080", "Pictures.Intra."]))
    for url in (
        "http://1.1.1.1/a.png", "https://shop.example/x?y#z", "http://shop.example:80/",
        "http://10.0.0.7:8080/", "https://pictures.intra/", "http://[2606:4700::1111]/",
    ):  # fmt: skip
        assert gate.check(url) == URL(url)
    for url in ("http://10.0.0.7/", "http://10.0.0.8:8080/", "http://pictures.intra:8080/"):
        with pytest.raises(NotAllowed):
            gate.check(url)


@pytest.mark.parametrize("name", ["", "a b/c", "http://a", "a/", "user@a", "a:99999", "a:x", ":80"])
def test_hosts_to_allow_are_hosts(name: str) -> None:
    with pytest.raises(NegGenError, match="is no host to allow"):
        named_hosts([name])


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1"]
)
def test_this_machine_is_not_asked_unless_named(shop: Shop, tmp_path: Path, host: str) -> None:
    # Port 80 of the address is allowed, whoever listens there; this server's port is named for
    # another host, so that the port alone does not decide.
    url = f"http://{host}:{shop.port}/1"
    told = reason(tmp_path, url, allow_hosts=(f"other.example:{shop.port}",))
    assert told == f"port {shop.port}"
    assert reason(tmp_path, f"http://{host}/1") == "not a public address"
    assert shop.requests == []


def test_a_public_name_with_a_private_address_is_not_asked(shop: Shop, tmp_path: Path) -> None:
    for addresses in (("127.0.0.1",), ("10.0.0.1", "::1"), ("::ffff:127.0.0.1",)):
        told = reason(
            tmp_path,
            "http://pictures.example/1",
            resolver=lambda addresses=addresses: Names(*addresses),
        )
        assert told == "not a public address"
    assert shop.requests == []


def test_of_mixed_addresses_only_public_ones_are_connected_to() -> None:
    gate = Gate(Names("127.0.0.1", "1.1.1.1", "64:ff9b::101:101"), frozenset())
    found = asyncio.run(gate.resolve("a.example", 443))
    assert [one["host"] for one in found] == ["1.1.1.1"]


def test_redirections_are_followed_and_bounded(shop: Shop, tmp_path: Path) -> None:
    async def onward(request: web.Request) -> web.Response:
        number = int(request.path[1:])
        target = f"/{number + 1}" if number % 2 else shop.url(f"/{number + 1}")
        return web.Response(status=302 if number % 3 else 308, headers={"Location": target})

    shop.routes = {f"/{number}": onward for number in range(5)}
    names, notes = download(tmp_path, shop.url("/0"), allow_hosts=(shop.host,))
    assert notes == ()
    assert (tmp_path / str(names[0])).read_bytes() == picture() + b"/5"
    shop.routes = {f"/{number}": onward for number in range(99)}
    shop.requests.clear()
    told = reason(tmp_path / "new", shop.url("/0"), allow_hosts=(shop.host,))
    assert told == "over 5 redirections"
    assert len(shop.requests) == 6


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("http://evil.example/secret", "not a public address"),
        ("http://127.0.0.1/secret", "not a public address"),
        ("http://169.254.169.254/latest/meta-data/", "not a public address"),
        ("//[::1]/secret", "not a public address"),
        ("http://evil.example:{port}/secret", "port {port}"),
        ("http://a:b@pictures.example:{port}/secret", "credentials in the address"),
        ("file:///etc/passwd", "not a web address"),
        ("http://[::1", "not a web address"),
    ],
)
def test_a_redirection_is_checked_like_an_address(
    shop: Shop, tmp_path: Path, target: str, told: str
) -> None:
    async def onward(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target.format(port=shop.port)})

    shop.routes = {"/1": onward}
    host = f"pictures.example:{shop.port}"
    options = {"allow_hosts": (host,), "resolver": lambda: Names("127.0.0.1")}
    assert reason(tmp_path, shop.url("/1", host), **options) == told.format(port=shop.port)
    assert [request.path for request in shop.requests] == ["/1"]


def test_an_unknown_host_and_a_closed_port(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        told = reason(tmp_path, f"http://{host}/1", allow_hosts=(host,), attempts=1)
    assert told == "no connection"

    class Unknown(DefaultResolver):  # type: ignore[misc, valid-type]
        async def resolve(self, *_: Any, **__: Any) -> list[ResolveResult]:
            raise OSError("no such host")

    told = reason(tmp_path, "http://nowhere.example/1", resolver=Unknown, attempts=1)
    assert told == "unknown host"


# -- import -------------------------------------------------------------------------------------


def test_columns_without_addresses(tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match=r"column 'image', but the items have only item_id;"):
        download_images(pl.DataFrame({"item_id": [1]}), "image", Downloads(tmp_path))
    nothing = pl.DataFrame({"image": [None, None]})
    assert download_images(nothing, "image", Downloads(tmp_path)) == (nothing, ())


def test_import_downloads_into_the_workspace(
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def gone(request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    source, place = tmp_path / "source", tmp_path / "w"
    source.mkdir()
    shop.routes = {"/1": gone}
    urls = [shop.url(f"/{number}") for number in range(3)]
    items = pl.DataFrame({"item_id": ["0", "1", "2"], "photo": urls})
    items.write_csv(source / "items.csv")
    LOG.write_csv(source / "interactions.csv")

    def run(*more: str) -> tuple[int, str, str]:
        typed = ["import", str(source), str(place), "--image-column", "photo", "--json", *more]
        monkeypatch.setattr(sys, "argv", ["neggen", *typed])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    for wrong, message in (
        (["--download-images", "--images", str(source)], "either --images or --download-images"),
        (["--allow-host", "a"], "--allow-host needs --download-images"),
    ):
        code, _, told = run(*wrong)
        assert code == 2
        assert message in told
    assert shop.requests == []

    code, out, told = run()
    assert (code, json.loads(out)["pictures"]) == (0, 0)
    assert "(a web address, for --download-images)" in told
    again = ["--download-images", "--allow-host", shop.host, "--overwrite"]
    code, out, _ = run(*again)
    assert code == 0
    assert json.loads(out)["pictures"] == 2
    (note,) = json.loads(out)["notes"]
    assert "Masked 1 of 3 pictures that could not be downloaded: http 404 (1)" in note
    shop.routes = {}
    assert json.loads(run(*again)[1])["pictures"] == 3
    assert shop.asked() == {"/0": 1, "/1": 2, "/2": 1}
    assert len(list((place / "images").iterdir())) == 3


def import_photos(
    cli: Callable[..., tuple[int, str, str]], shop: Shop, source: Path, place: Path, *more: str
) -> tuple[int, str, str]:
    options = ("--download-images", "--allow-host", shop.host, "--json", *more)
    return cli("import", str(source), str(place), *options)


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*typed: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["neggen", *typed])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def photos(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "0.png").write_bytes(picture())
    ids = [str(number) for number in range(len(names))]
    pl.DataFrame({"item_id": ids, "image": names}).write_csv(folder / "items.csv")
    LOG.write_csv(folder / "interactions.csv")
    return folder


def test_paths_are_not_masked_in_silence(
    shop: Shop, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
) -> None:
    source = photos(tmp_path / "source", "0.png", "")
    code, _, told = import_photos(cli, shop, source, tmp_path / "w")
    assert code == 2
    assert "Column 'image' of the items holds no web address" in " ".join(told.split())
    assert not (tmp_path / "w" / "workspace.toml").exists()

    source = photos(tmp_path / "source", "../0.png", shop.url("/1"), "")
    code, out, told = import_photos(cli, shop, source, tmp_path / "w")
    assert code == 0, told
    assert json.loads(out)["pictures"] == 1
    assert json.loads(out)["notes"][0].startswith("Masked 1 pictures that are no web addresses")


def test_a_place_that_is_taken_is_told_before_anything_is_downloaded(
    shop: Shop, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
) -> None:
    place = tmp_path / "w"
    three = photos(tmp_path / "three", *(shop.url(f"/{number}") for number in range(3)))
    assert cli("import", str(three), str(place))[0] == 0
    code, _, told = import_photos(cli, shop, three, place)
    assert (code, shop.requests) == (2, [])
    assert "already holds these data without pictures" in " ".join(told.split())
    assert import_photos(cli, shop, three, place, "--overwrite")[0] == 0
    shop.requests.clear()

    two = photos(tmp_path / "two", *(shop.url(f"/{number}") for number in (7, 8)))
    code, _, told = import_photos(cli, shop, two, place)
    assert (code, shop.requests) == (2, [])
    assert "already holds other data" in told
    code, _, told = import_photos(cli, shop, three, place)
    assert (code, shop.requests) == (0, [])
    assert "holds these very data already" in told
    foreign = tmp_path / "foreign"
    (foreign / "images").mkdir(parents=True)
    code, _, told = import_photos(cli, shop, two, foreign)
    assert (code, shop.requests) == (2, [])
    assert "somebody else's folder" in " ".join(told.split())
    assert import_photos(cli, shop, two, place, "--overwrite")[0] == 0
    assert shop.asked() == {"/7": 1, "/8": 1}


def test_downloads_are_found_by_a_data_set(shop: Shop, tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["0", "1"], "image": [shop.url("/0"), shop.url("/1")]})
    where = Downloads(tmp_path, allow_hosts=(shop.host,))
    table, _ = download_images(items, "image", where)
    data = Dataset.from_frames(LOG, table, tmp_path)
    assert data.notes == ()
    assert data.item_table["image"].null_count() == 0
