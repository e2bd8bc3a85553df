"""Shards: taken over once, with what they cost, and never under the hands of a living worker."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from neggen.errors import NegGenError
from neggen.generation.journal import Failure, Journal, Kept, Unit, shards
from neggen.generation.journal.file import JournalFile, shard_folder
from neggen.generation.journal.owner import Owner, owners_folder
from neggen.generation.journal.shards import only_driver, shard_path
from neggen.generation.records import InvalidAnswer
from neggen.generation.requests import Completion, Request, Usage

REQUEST = Request("7", "text", "fused", 1, "system", "user", {})
UNIT = Unit("u", "7", "text", "me")
OTHER = Unit("v", "8", "text", "me")


def answer(text: str = "answer") -> Completion:
    return Completion(text, Usage(5, 2), 0.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j.sqlite"


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as file:
        return file.execute(query).fetchall()


async def write_shard(place: Path, key: str = "k") -> None:
    async with Journal(place, shard=True) as shard:
        await shard.claim(UNIT)
        await shard.acknowledge(key, UNIT, REQUEST, answer())
        await shard.finish(UNIT, Failure("http 500", "It broke.", 3, 0.5))


def test_what_a_shard_cost_is_added_once_though_a_merge_was_interrupted(path: Path) -> None:
    place = shard_path(path, "gone", 0)

    async def work() -> None:
        async with Journal(path) as journal:
            await journal.finish(UNIT, Failure("timeout", "Too slow.", 3, 1.0))
        await write_shard(place)
        shutil.copy(place, path.with_name("copy"))
        async with Journal(path) as journal:
            assert journal.spent() == 1.75
            assert journal.outcome(UNIT) == Failure("http 500", "It broke.", 3)
        shutil.copy(path.with_name("copy"), place)  # as if it had not been deleted any more
        async with Journal(path) as journal:
            assert journal.spent() == 1.75

    asyncio.run(work())
    assert list(shard_folder(path).iterdir()) == []


def test_what_was_paid_for_a_unit_that_stopped_is_added(path: Path) -> None:
    async def work() -> None:
        async with Journal(path) as journal:
            await journal.claim(UNIT)
            async with Journal(shard_path(path, "gone", 0), shard=True) as shard:
                await shard.claim(UNIT)
                await shard.release(UNIT, 0.5)
            journal.merge_shards()
            assert journal.spent() == 0.5
            assert journal.holder(UNIT)[0] == "claimed", "it is still ours"

    asyncio.run(work())


@pytest.mark.parametrize("begun", [False, True], ids=["empty", "without a version"])
def test_a_shard_whose_worker_died_at_once_does_no_harm(path: Path, begun: bool) -> None:
    place = shard_path(path, "gone", 0)
    JournalFile(place, shared=False).close()
    if begun:
        rows(place, "PRAGMA user_version = 0")
    else:
        place.write_bytes(b"")

    async def work() -> None:
        async with Journal(path) as journal:
            assert journal.lookup("k") is None

    asyncio.run(work())
    assert not place.exists()


def test_whoever_opens_the_journal_waits_for_the_workers_of_a_dead_run(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shard_path(path, "gone", 0)
    written, answered = threading.Event(), threading.Event()

    async def orphan() -> None:
        async with Journal(place, shard=True) as shard:
            written.set()
            await asyncio.to_thread(answered.wait)  # its last request is in flight
            await shard.acknowledge("late", UNIT, REQUEST, answer())

    async def work() -> None:
        async with Journal(path) as journal:
            assert journal.lookup("late") == Kept(answer())

    thread = threading.Thread(target=lambda: asyncio.run(orphan()))
    thread.start()
    assert written.wait(10)
    monkeypatch.setattr(shards, "WORKER_SECONDS", 0.1)
    with pytest.raises(NegGenError, match=r"earlier run still writes .*gone-0\.sqlite; wait until"):
        Journal(path)
    monkeypatch.undo()
    threading.Timer(0.3, answered.set).start()
    asyncio.run(work())
    thread.join()


def test_the_shards_of_a_living_run_are_left_alone(path: Path) -> None:
    run = Owner(owners_folder(path))
    place = shard_path(path, run.name, 0)
    asyncio.run(write_shard(place))

    async def work() -> None:
        async with Journal(path) as journal:
            assert journal.lookup("k") is None
            run.close()
            journal.merge_shards()
            assert journal.lookup("k") == Kept(answer())

    asyncio.run(work())
    assert not place.exists()


def test_who_waited_for_a_unit_finds_the_answers_that_are_in_a_shard(path: Path) -> None:
    run = Owner(owners_folder(path))

    async def work() -> None:
        async with Journal(path) as waiting:
            async with Journal(path) as driver:
                await driver.claim(UNIT)
                claiming = asyncio.create_task(waiting.claim(UNIT))
                await asyncio.sleep(0.3)
                assert not claiming.done()
                await write_shard(shard_path(path, run.name, 0))
                run.close()
            assert await claiming
            assert waiting.lookup("k") == Kept(answer())

    asyncio.run(work())


def test_a_shard_begins_with_what_is_known_and_costs_nothing_yet(path: Path) -> None:
    dead = Failure("no slots", "Nothing is marked.", 1, 0.5)

    async def work() -> None:
        async with Journal(path) as journal:
            await journal.acknowledge("k", UNIT, REQUEST, answer())
            await journal.reject("k", InvalidAnswer("no slots", "Nothing is marked."))
            await journal.finish(UNIT, dead)
            await journal.claim(UNIT)
            journal.begin_shard(path.with_name("none"), [OTHER])
            journal.begin_shard(path.with_name("shard"), [UNIT, OTHER])
        async with Journal(path.with_name("shard"), shard=True) as shard:
            kept = shard.lookup("k")
            assert kept is not None
            assert kept.rejected is not None
            assert shard.outcome(UNIT) == Failure("no slots", "Nothing is marked.", 1)
            assert shard.spent() == 0

    asyncio.run(work())
    assert not path.with_name("none").exists()


def test_a_rejection_in_a_shard_comes_along(path: Path) -> None:
    async def work() -> None:
        async with Journal(path) as journal:
            await journal.acknowledge("k", UNIT, REQUEST, answer())
        async with Journal(shard_path(path, "gone", 0), shard=True) as shard:
            await shard.acknowledge("k", UNIT, REQUEST, answer())
            await shard.reject("k", InvalidAnswer("no slots", "Nothing is marked."))
        async with Journal(path) as journal:
            kept = journal.lookup("k")
            assert kept is not None
            assert str(kept.rejected) == "Nothing is marked."

    asyncio.run(work())
    assert rows(path, "SELECT cost FROM answers") == [(0.25,)]


def test_what_cannot_be_written_to_a_shard_is_found_by_the_next_run(path: Path) -> None:
    place = shard_path(path, "gone", 0)

    async def work() -> None:
        async with Journal(place, shard=True) as shard:
            rows(place, "ALTER TABLE answers RENAME TO moved")  # as a stand-in for damage
            await shard.acknowledge("paid", UNIT, REQUEST, answer())

    with pytest.raises(NegGenError, match=r"on their way are in .*rescued-"):
        asyncio.run(work())
    place.unlink()

    async def read() -> None:
        async with Journal(path) as journal:
            assert journal.lookup("paid") == Kept(answer())

    asyncio.run(read())


def test_only_one_driver_at_a_time(path: Path) -> None:
    with only_driver(path), pytest.raises(NegGenError, match="Another run on a cluster works on"):
        only_driver(path).__enter__()
    with only_driver(path):
        pass
