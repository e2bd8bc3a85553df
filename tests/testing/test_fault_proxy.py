from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from neggen.testing.chat_server import chat_app
from neggen.testing.fault_proxy import FAULTS, FaultProxy
from neggen.testing.serving import serve_in_thread


@dataclass
class Meeting:
    """What a client saw of one request."""

    status: int | None = None
    headers: Any = None
    body: bytes = b""
    error: str = ""

    @property
    def text(self) -> Any:
        return json.loads(self.body)["choices"][0]["message"]["content"]


@contextmanager
def between(faults: dict[str, float], **options: Any) -> Iterator[tuple[str, FaultProxy, Any]]:
    """A scripted server behind a proxy; gives the address, the proxy and the server's log."""
    calls = io.StringIO()
    with serve_in_thread(chat_app(log=calls)) as upstream:
        proxy = FaultProxy(f"{upstream}/v1", faults, **options)
        with serve_in_thread(proxy.app()) as address:
            yield f"{address}/v1", proxy, calls


def send(url: str, contents: list[str]) -> list[Meeting]:
    async def one(session: aiohttp.ClientSession, content: str) -> Meeting:
        body = {"model": "m", "messages": [{"role": "user", "content": content}]}
        meeting = Meeting()
        try:
            async with session.post(f"{url}/chat/completions", json=body) as response:
                meeting.status, meeting.headers = response.status, response.headers
                meeting.body = await response.read()
        except aiohttp.ClientError as error:
            meeting.error = type(error).__name__
        return meeting

    async def run() -> list[Meeting]:
        timeout = aiohttp.ClientTimeout(30)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            return [await one(session, content) for content in contents]

    return asyncio.run(run())


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_reaches_the_client_as_it_says(fault: str) -> None:
    with between({}) as (url, _, _):
        (right,) = send(url, ["a"])
    log = io.StringIO()
    with between({fault: 1.0}, latency=0.05, retry_after=0.5, log=log) as (url, proxy, calls):
        met = send(url, ["b", "a"])[1]
        reached = len(calls.getvalue().splitlines())
    assert proxy.counts == {fault: 2}
    assert [json.loads(line)["fault"] for line in log.getvalue().splitlines()] == [fault] * 2
    assert reached == (0 if fault in ("http 429", "http 500", "http 503", "cut before") else 2)
    if fault.startswith("http"):
        assert f"http {met.status}" == fault
        assert met.headers.get("retry-after") == ("0.5" if fault == "http 429" else None)
    elif fault.startswith("cut"):
        assert (met.status, met.error) == (None, "ServerDisconnectedError")
    elif fault == "half":
        assert (met.status, met.error) == (200, "ClientPayloadError")
        assert met.headers["Content-Length"] == str(len(right.body))
    elif fault == "not json":
        assert (met.status, met.headers["Content-Type"][:9]) == (200, "text/html")
    elif fault == "rubbish":
        assert met.status == 200
        assert "{" not in met.text
    elif fault == "two bodies":
        assert met.body == right.body * 2
    elif fault == "no choices":
        assert json.loads(met.body)["choices"] == []
    elif fault == "stale":
        assert met.status == 200
        assert met.text != right.text
    else:
        assert fault == "latency"
        assert met.body == right.body


def test_without_faults_it_is_not_noticed() -> None:
    async def models(url: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/models") as response:
            return await response.json()

    with between({}) as (url, proxy, _):
        assert {meeting.status for meeting in send(url, list("abc"))} == {200}
        assert asyncio.run(models(url))["data"][0]["id"] == "scripted"
    assert proxy.counts == {"none": 3}


def test_draws_follow_the_seed_and_the_requests_but_not_their_order() -> None:
    rates = dict.fromkeys(FAULTS, 0.05)
    bodies = [str(number).encode() for number in range(4000)]

    def drawn(bodies: list[bytes], seed: int = 0) -> tuple[dict[bytes, str], Counter[str]]:
        proxy = FaultProxy("http://x/v1", rates, seed=seed)
        return {body: proxy.draw(body) for body in bodies}, proxy.counts

    first, counts = drawn(bodies)
    assert drawn(bodies[::-1])[0] == first
    assert drawn(bodies, seed=1)[0] != first
    assert all(140 < counts[fault] < 260 for fault in FAULTS)
    assert 1480 < counts["none"] < 1720
    proxy = FaultProxy("http://x/v1", rates)
    assert len({proxy.draw(b"again") for _ in range(100)}) > 5


def test_an_upstream_that_is_not_there_is_a_502() -> None:
    with serve_in_thread(FaultProxy("http://127.0.0.1:1/v1", {}).app()) as address:
        (meeting,) = send(f"{address}/v1", ["a"])
    assert meeting.status == 502


@pytest.mark.parametrize("faults", [{"flood": 0.1}, {"half": -0.1}, {"half": 0.6, "http 500": 0.6}])
def test_impossible_faults_are_refused(faults: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"no fault|probabilities"):
        FaultProxy("http://x/v1", faults)


def run_program(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "neggen.testing.fault_proxy", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_program_counts_what_it_did(tmp_path: Path) -> None:
    with serve_in_thread(chat_app()) as upstream:
        log = tmp_path / "log"
        options = ["--fault", "http 500=0.5", "--seed", "3", "--log", str(log)]
        with run_program("--upstream", f"{upstream}/v1", *options) as program:
            assert program.stdout is not None
            url = program.stdout.readline().strip()
            assert url.endswith("/v1")
            statuses = Counter(meeting.status for meeting in send(url, ["a"] * 40))
            program.send_signal(signal.SIGINT)
            counts = json.loads(program.stdout.readline())
            assert program.wait(30) == 0
    assert counts == {"http 500": statuses[500], "none": statuses[200]}
    assert 5 < statuses[500] < 35
    tries = [json.loads(line)["try"] for line in log.read_text().splitlines()]
    assert tries == list(range(1, 41))


@pytest.mark.parametrize("fault", ["flood=0.1", "half=often"])
def test_the_program_refuses_impossible_faults(fault: str) -> None:
    with run_program("--upstream", "http://x/v1", "--fault", fault) as program:
        _, errors = program.communicate(timeout=30)
    assert program.returncode != 0
    assert errors.startswith("fault_proxy: ")
