"""A worker of a cluster, without the cluster: what it does with a part, and when it stops."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from neggen.errors import NegGenError
from neggen.generation.backends.budget import Prices
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.dialogue import Rules
from neggen.generation.distributed.messages import Outcome, Part, Side
from neggen.generation.distributed.progress import Progress
from neggen.generation.distributed.quiet import without_lines
from neggen.generation.distributed.stream import Stream
from neggen.generation.distributed.worker import Job, Worker
from neggen.generation.journal import Journal
from neggen.generation.journal.owner import Owner, owners_folder
from neggen.generation.journal.shards import shard_path
from neggen.generation.prepared import GenerationSummary
from neggen.generation.prompts import load_prompts
from neggen.generation.runner import ModalitySummary

if TYPE_CHECKING:
    from conftest import ChatServer

SIDES = [Side(f"i{number}", "text", f"title: Thing {number}", None) for number in range(12)]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(owners_folder(tmp_path / "j.sqlite"))
    yield owner
    owner.close()


@pytest.fixture
def job(server: ChatServer, tmp_path: Path, run: Owner) -> Job:
    make = partial(OpenAICompatibleBackend, server.url, "m", prices=Prices(0.0, 100_000.0))
    rules = Rules("fused", load_prompts())
    return Job(tmp_path / "j.sqlite", run.name, make, rules, "m", 3, False, 2)


def work(worker: Worker, part: Part) -> Outcome:
    """Send a part there and its outcome back as Ray does."""
    batch: dict[str, Any] = {name: [value] for name, value in part.row().items()}
    return Outcome.of(worker(batch))


def test_a_picture_is_read_by_the_worker(
    server: ChatServer, job: Job, catalogue: Callable[..., Any]
) -> None:
    path = catalogue(2, pictures=True).image_path(1)
    outcome = work(Worker(job), Part(0, [Side("i1", "image", None, str(path))], None))
    assert outcome.counts["image"].asked == 1
    assert "image_url" in json.dumps(server.calls[0])
    missing = work(Worker(job), Part(1, [Side("i1", "image", None, f"{path}.gone")], None))
    assert missing.error is not None
    assert f"{path}.gone of item 'i1' cannot be read" in missing.error


def test_a_part_that_goes_to_a_second_worker_is_not_asked_twice(
    server: ChatServer, job: Job
) -> None:
    server.delay = 0.2
    outcomes: list[Outcome] = []
    part = Part(0, SIDES, None)
    locks = owners_folder(shard_path(job.journal, job.run, 0))
    threads = [
        threading.Thread(target=lambda: outcomes.append(work(Worker(job), part))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    while len(list(locks.glob("*.lock"))) < 2 and all(thread.is_alive() for thread in threads):
        time.sleep(0.01)
    assert outcomes == [], "both should work at the same time"
    for thread in threads:
        thread.join()
    assert len(server.calls) == len(SIDES)
    assert sum(outcome.counts["text"].asked for outcome in outcomes) == len(SIDES)
    assert all(outcome.counts["text"].sides == len(SIDES) for outcome in outcomes)


def test_a_worker_ends_what_is_in_flight_when_its_run_ends_and_begins_nothing_more(
    server: ChatServer, job: Job, run: Owner
) -> None:
    def reply(number: int, body: dict[str, Any]) -> Any:
        if number == 3:
            run.close()
            time.sleep(1.0)  # the server's only thread: what is in flight waits for this
        return server.say(server.good)

    server.reply = reply
    worker = Worker(job)
    outcome = work(worker, Part(0, SIDES, None))
    asked = outcome.counts["text"].asked
    assert 4 <= asked < len(SIDES)
    assert asked == len(server.calls)
    with sqlite3.connect(shard_path(job.journal, job.run, 0)) as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (asked,)
    assert work(worker, Part(1, SIDES, None)) == Outcome(1)
    assert len(server.calls) == asked


def test_a_part_never_spends_more_than_its_share_whoever_works_on_it(
    server: ChatServer, job: Job
) -> None:
    bound, cost = 1024 * 0.1, 3 * 0.1  # what is reserved for an answer, and what one costs here
    part = Part(0, SIDES, bound + 3.5 * cost)
    first = work(Worker(job), part)
    assert first.counts["text"].asked == 4
    assert first.counts["text"].cost == pytest.approx(4 * cost)
    assert work(Worker(job), part).counts["text"].asked == 0
    other = Part(1, SIDES[:2], bound + cost)
    worker = Worker(job)
    assert work(worker, part).counts["text"].asked == 0
    assert work(worker, other).counts["text"].asked == 2


def test_a_node_that_does_not_see_the_workspace_asks_nothing(
    server: ChatServer, job: Job, tmp_path: Path
) -> None:
    elsewhere = replace(job, journal=tmp_path / "elsewhere" / "j.sqlite")
    assert work(Worker(elsewhere), Part(0, SIDES, None)) == Outcome(0)
    assert server.calls == []
    assert not elsewhere.journal.parent.exists()


def test_what_ends_a_run_is_told_with_the_name_of_the_node(server: ChatServer, job: Job) -> None:
    server.reply = lambda number, body: (401, {"error": {"message": "wrong key"}})
    outcome = work(Worker(job), Part(0, SIDES, None))
    assert outcome.error is not None
    assert "OPENAI_API_KEY" in outcome.error
    assert outcome.node == platform.node()


def test_what_travels_holds_no_key(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    pickle = pytest.importorskip("ray.cloudpickle", reason="needs the extra: neggen[ray]")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    job.make_backend()
    assert b"very-secret" not in pickle.dumps((job, Worker))


def test_a_stream_goes_on_after_waiting_for_it_was_cancelled() -> None:
    gate = threading.Event()

    def values() -> Iterator[int]:
        yield 1
        assert gate.wait(10)
        yield 2
        raise NegGenError("broken")

    async def read() -> list[int]:
        stream = Stream(values)
        assert await anext(stream) == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)
        gate.set()
        assert await anext(stream) == 2
        with pytest.raises(NegGenError, match="broken"):
            await anext(stream)
        return [value async for value in stream]

    assert asyncio.run(read()) == []


def test_a_stream_tells_of_pauses_and_loses_nothing() -> None:
    gate = threading.Event()

    def values() -> Iterator[int]:
        yield 1
        assert gate.wait(10)
        yield 2
        raise TimeoutError("of the stream itself")

    async def read() -> None:
        async for value in Stream(values).with_pauses(0.02):
            told.append(value)
            if told.count(None) == 3:
                gate.set()

    told: list[int | None] = []
    with pytest.raises(TimeoutError, match="of the stream itself"):
        asyncio.run(read())
    assert [value for value in told if value is not None] == [1, 2]
    assert told.count(None) >= 3
    assert told[-1] == 2


def test_what_a_part_has_done_and_cost_is_seen_until_its_outcome_tells(
    server: ChatServer, job: Job, run: Owner
) -> None:
    summary = GenerationSummary("m", {"text": ModalitySummary(items=40, cost=1.0)}, done=20)
    progress = Progress(job.journal, run.name)
    progress.look()
    assert progress.added_to(summary) == summary, "there is no shard yet"
    seen: list[GenerationSummary] = []

    def reply(number: int, body: dict[str, Any]) -> Any:
        progress.look()
        seen.append(progress.added_to(summary))
        return server.say(server.good)

    server.reply = reply
    broken = shard_path(job.journal, run.name, 7)
    broken.parent.mkdir()
    broken.write_text("This is no journal, " * 100)
    outcome = work(Worker(replace(job, concurrency=1)), Part(1, SIDES, None))
    assert [so_far.done for so_far in seen] == [20 + number for number in range(len(SIDES))]
    assert [so_far.cost for so_far in seen] == pytest.approx(
        [1.0 + 0.3 * number for number in range(len(SIDES))]
    )
    assert (summary.done, summary.cost) == (20, 1.0)
    progress.look()
    assert progress.added_to(summary).done == 20 + len(SIDES)
    progress.ended(outcome.part)
    progress.look()
    assert progress.added_to(summary) == summary


def test_only_what_is_unwanted_is_kept_from_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with without_lines(b"noise"):
        os.write(2, b"a line\nsome noise here\nanother\n")
        child = subprocess.Popen(["sh", "-c", "echo from a child >&2"])
        assert child.wait(10) == 0
        os.write(2, b"no end of line")
    os.write(2, b", noise afterwards\n")
    expected = "a line\nanother\nfrom a child\nno end of line, noise afterwards\n"
    assert capfd.readouterr().err == expected


def test_a_journal_of_a_part_is_no_place_for_shards_of_others(job: Job) -> None:
    async def write() -> None:
        async with Journal(shard_path(job.journal, "gone", 0), shard=True):
            pass

    asyncio.run(write())
    work(Worker(job), Part(0, SIDES[:1], None))
    assert shard_path(job.journal, "gone", 0).exists()
