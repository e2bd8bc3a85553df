from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from neggen.errors import NegGenError
from neggen.generation.journal import Failure, Journal, Unit
from neggen.generation.journal.file import shard_folder
from neggen.generation.journal.listing import JournalListing
from neggen.generation.records import InvalidAnswer
from neggen.generation.requests import Completion, Request, Usage


def unit(item_id: str, modality: str = "text", generator: str = "m") -> Unit:
    return Unit(f"{item_id}-{modality}-{generator}".ljust(64, "."), item_id, modality, generator)


async def answer(
    journal: Journal, of: Unit, text: str = "{}", attempt: int = 1, **more: Any
) -> str:
    key = f"{of.key} {attempt}".ljust(64, ".")
    request = Request(of.item_id, "text", "fused", attempt, "system", "user", {})
    await journal.claim(of)
    await journal.acknowledge(key, of, request, Completion(text, Usage(5, 2), **more))
    return key


async def fill(path: Path) -> None:
    """Item a is valid, b and c are dead, d is being asked about, e was given back."""
    async with Journal(path) as journal:
        await answer(journal, unit("a"), '{"marked": "ein [Krug] 🫖"}', cost=0.25)
        await journal.finish(unit("a"), None)
        for item in "bc":
            for attempt in (1, 2):
                key = await answer(journal, unit(item), f"rubbish {attempt}", attempt)
                await journal.reject(
                    key, InvalidAnswer("no slots", f"Nothing in {item} is marked.")
                )
            await journal.finish(unit(item), Failure("no slots", f"Nothing in {item}.", 2, 0.5))
        await journal.finish(unit("b", "text", "other"), Failure("http 500", "Down.", 3))
        await answer(journal, unit("d"))
        await journal.claim(unit("e"))
        await journal.release(unit("e"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "w" / "j.sqlite"
    asyncio.run(fill(path))
    return path


def listed(path: Path) -> list[dict[str, Any]]:
    with JournalListing(path) as listing:
        return list(listing.answers())


def test_it_counts_by_generator_and_modality(path: Path) -> None:
    with JournalListing(path) as listing:
        one, other = listing.sides()
        failures = listing.failures()
        dead = list(listing.dead())
        rejected = list(listing.rejected())
        assert listing.warning is None
    assert (one.generator, one.modality) == ("m", "text")
    assert (one.valid, one.dead, one.unfinished, one.answers, one.rejected) == (1, 2, 2, 6, 4)
    assert (one.prompt_tokens, one.completion_tokens, one.cost) == (30, 12, 1.25)
    assert one.first is not None
    assert one.last is not None
    assert "2020-01-01T00:00:00Z" < one.first <= one.last
    assert (other.generator, other.dead, other.answers, other.cost) == ("other", 1, 0, None)
    assert other.first is None
    assert [(row["generator"], row["kind"], row["items"]) for row in failures] == [
        ("m", "no slots", 2),
        ("other", "http 500", 1),
    ]
    assert failures[0]["example"] == "Nothing in b."
    assert [(row["item_id"], row["kind"], row["attempts"]) for row in dead] == [
        ("b", "no slots", 2),
        ("c", "no slots", 2),
        ("b", "http 500", 3),
    ]
    assert [(row["item_id"], row["answer"]) for row in rejected] == [
        (item, f"rubbish {attempt}") for item in "bc" for attempt in (1, 2)
    ]


def test_it_tells_the_whole_dialogue_of_an_item(path: Path) -> None:
    with JournalListing(path) as listing:
        mine, other = listing.dialogues("b")
        assert [unit["state"] for unit in listing.dialogues("e")] == ["open"]
        with pytest.raises(NegGenError, match=r"j\.sqlite holds nothing about an item 'B'"):
            listing.dialogues("B")
    assert (mine["state"], mine["reason"], other["kind"]) == ("dead", "Nothing in b.", "http 500")
    assert [
        (said["step"], said["attempt"], said["prompt_tokens"], said["rejected_reason"])
        for said in mine["answers"]
    ] == [("fused", attempt, 5, "Nothing in b is marked.") for attempt in (1, 2)]
    assert other["answers"] == []


def test_it_reads_what_another_process_is_writing_and_changes_nothing(path: Path) -> None:
    async def write() -> None:
        async with Journal(path) as journal:
            await answer(journal, unit("x"))
            with JournalListing(path) as listing:
                assert listing.sides()[0].answers == 7
                await answer(journal, unit("y"))  # a reader does not hold up a writer
                assert len(list(listing.answers())) == 7, "a listing shows one moment"
            assert len(listed(path)) == 8

    asyncio.run(write())
    before = path.read_bytes()
    listed(path)
    assert path.read_bytes() == before
    with JournalListing(path) as listing, pytest.raises(sqlite3.OperationalError, match="readonly"):
        listing._connection.execute("DELETE FROM answers")


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder unwritable, even for the superuser."""
    for options in (["--bind", folder, folder], ["-o", "remount,ro,bind", folder]):
        if subprocess.run(["mount", *options], capture_output=True).returncode:
            pytest.skip("only the superuser can make a folder read-only for itself")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_it_reads_a_folder_that_cannot_be_written(path: Path) -> None:
    with read_only(path.parent):
        with pytest.raises(NegGenError, match="cannot be used"):
            Journal(path)
        assert len(listed(path)) == 6
        with JournalListing(path) as listing:
            assert listing.sides()[0].answers == 6
            assert listing.warning is None


def test_it_says_when_a_killed_writer_left_answers_that_cannot_be_seen(path: Path) -> None:
    code = f"""
import os, sqlite3
file = sqlite3.connect({str(path)!r}, isolation_level=None)
file.execute("UPDATE answers SET cost = 9 WHERE item_id = 'a'")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    path.with_name("j.sqlite-shm").unlink()
    with read_only(path.parent), JournalListing(path) as listing:
        assert next(listing.answers())["cost"] == 0.25
        assert "newest answers are in" in str(listing.warning)
    with JournalListing(path) as listing:
        assert next(listing.answers())["cost"] == 9


def test_what_is_missing_empty_or_foreign_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match=r"j\.sqlite does not exist: nothing was asked yet"):
        JournalListing(tmp_path / "j.sqlite")
    (tmp_path / "j.sqlite").touch()
    with JournalListing(tmp_path / "j.sqlite") as listing:
        assert (listing.sides(), listing.failures(), list(listing.answers())) == ([], [], [])
    with sqlite3.connect(tmp_path / "other.sqlite") as file:
        file.execute("CREATE TABLE a (b)")
    with pytest.raises(NegGenError, match="no journal of format 2"):
        JournalListing(tmp_path / "other.sqlite")
    (tmp_path / "text.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(NegGenError, match=r"opened \(file is not a database\).*\.recover"):
        JournalListing(tmp_path / "text.sqlite")


def test_names_that_mean_something_in_an_address_are_just_names(tmp_path: Path) -> None:
    path = tmp_path / "50% of w?mode=rwc#" / "j.sqlite"
    asyncio.run(fill(path))
    assert len(listed(path)) == 6


def test_it_tells_of_shards_that_wait(path: Path) -> None:
    shard_folder(path).mkdir()
    (shard_folder(path) / "rescued-1.sqlite").touch()
    with JournalListing(path) as listing:
        assert "1 files in" in str(listing.warning)


def make_long(path: Path, count: int = 400) -> None:
    async def write() -> None:
        async with Journal(path) as journal:
            units = [unit(f"i{number:04}") for number in range(count)]
            for one in units:
                await answer(journal, one, json.dumps({"marked": f"{one.item_id} {'x' * 300}"}))

    asyncio.run(write())


@pytest.mark.parametrize("filling", ["noise", "zeros", "end"])
def test_every_readable_answer_of_a_damaged_journal_is_saved(tmp_path: Path, filling: str) -> None:
    path = tmp_path / "j.sqlite"
    make_long(path)
    whole = {answer["key"]: answer for answer in listed(path)}
    assert len(whole) == 400
    content = bytearray(path.read_bytes())
    pages = len(content) // 4096
    assert pages > 90
    first, last = (pages * 9 // 10, pages) if filling == "end" else (30, 36)
    damage = bytes(4096) if filling == "zeros" else b"\xa5\x3c" * 2048
    for page in range(first, last):
        content[4096 * page : 4096 * (page + 1)] = damage
    path.write_bytes(content)
    with JournalListing(path) as listing:
        saved = list(listing.answers())
        assert listing.damage is not None
    assert 300 < len(saved) < 400
    assert len({answer["key"] for answer in saved}) == len(saved)
    assert all(whole[answer["key"]] == answer for answer in saved)
    if filling != "end":
        assert saved[-1]["item_id"] == "i0399", "what comes after the damage is saved too"
        with (
            JournalListing(path) as listing,
            pytest.raises(NegGenError, match=r"malformed.*export"),
        ):
            listing.sides()


def test_bytes_that_are_no_text_are_replaced(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("UPDATE answers SET answer = CAST(x'41ff42' AS TEXT) WHERE item_id = 'a'")
        file.execute("UPDATE answers SET answer = x'00ff' WHERE item_id = 'd'")
    with JournalListing(path) as listing:
        saved = list(listing.answers())
        assert listing.damage is not None
    assert saved[0]["answer"] == "A\ufffdB"
    assert [row["item_id"] for row in saved] == ["a", "b", "b", "c", "c"]
