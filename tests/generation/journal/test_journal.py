from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from neggen.errors import NegGenError
from neggen.generation.journal import Failure, Journal, Kept, Unit
from neggen.generation.journal.file import JournalFile, shard_folder
from neggen.generation.records import InvalidAnswer
from neggen.generation.requests import Completion, Request, Usage

REQUEST = Request("7", "text", "fused", 1, "system", "user", {})
UNIT = Unit("u", "7", "text", "me")
PROGRAM = """
    import asyncio, sys
    from pathlib import Path
    from neggen.errors import NegGenError
    from neggen.generation.journal import Journal, Unit
    from neggen.generation.requests import Completion, Request
    path, name = Path(sys.argv[1]), sys.argv[2]
    request = Request("7", "text", "fused", 1, "s", "u", {})
    unit = Unit("u", "7", "text", "me")
"""


def answer(text: str = "answer") -> Completion:
    return Completion(text, Usage(5, 2), 0.25)


def run_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM) + textwrap.dedent(code)]
        + [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as file:
        return file.execute(query).fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j.sqlite"


def test_what_is_acknowledged_can_be_looked_up_even_by_others(path: Path) -> None:
    async def write() -> None:
        async with Journal(path) as journal, Journal(path) as other:
            assert journal.lookup("a") is None
            await asyncio.gather(
                *(journal.acknowledge(f"k{i}", UNIT, REQUEST, answer()) for i in range(500))
            )
            await journal.acknowledge("raw", UNIT, REQUEST, answer("no [JSON\x00 \n"))
            assert other.lookup("k499") == Kept(answer())
            await other.acknowledge("k499", UNIT, REQUEST, answer("a second answer"))
            assert journal.lookup("k499") == Kept(answer())
            assert journal.spent() == 501 * 0.25

    asyncio.run(write())
    assert rows(path, "SELECT count(*) FROM answers") == [(501,)]
    columns = "unit, item_id, modality, step, completion, attempt, generator, answer, cost"
    assert rows(path, f"SELECT {columns} FROM answers WHERE key = 'raw'") == [
        ("u", "7", "text", "fused", 0, 1, "me", "no [JSON\x00 \n", 0.25)
    ]


def test_a_rejection_is_kept_with_its_reason(path: Path) -> None:
    async def write() -> None:
        async with Journal(path) as journal:
            await journal.acknowledge("k", UNIT, REQUEST, answer())
            await journal.reject("k", InvalidAnswer("no slots", "Nothing is marked."))
            kept = journal.lookup("k")
            assert kept is not None
            assert kept.rejected is not None
            assert (kept.rejected.kind, kept.rejected.reason) == ("no slots", "Nothing is marked.")

    asyncio.run(write())


def test_outcomes_of_units_and_what_they_cost(path: Path) -> None:
    dead = Failure("http 500", "It broke.", 3, 0.5)

    async def write() -> None:
        async with Journal(path) as journal:
            assert journal.outcome(UNIT) is None
            await journal.claim(UNIT)
            assert journal.outcome(UNIT) is None
            await journal.finish(UNIT, dead)
            assert journal.outcome(UNIT) == replace(dead, cost=None)
            await journal.claim(UNIT)  # tried again
            await journal.release(UNIT)  # but interrupted
            assert journal.outcome(UNIT) == replace(dead, cost=None)
            await journal.finish(UNIT, dead)
            assert journal.spent() == 1.0
            await journal.finish(UNIT, None)
            assert journal.outcome(UNIT) == "valid"
            assert journal.spent() == 1.0

    asyncio.run(write())


def test_a_unit_belongs_to_one_process_at_a_time(path: Path) -> None:
    async def write() -> list[str]:
        order = []

        async def work(journal: Journal, name: str) -> None:
            await journal.claim(UNIT)
            order.append(f"{name} has it")
            await asyncio.sleep(0.3)
            order.append(f"{name} gives it")
            await journal.release(UNIT)

        async with Journal(path) as one, Journal(path) as two:
            await asyncio.gather(work(one, "one"), work(two, "two"))
        return order

    order = asyncio.run(write())
    assert [step.partition(" ")[2] for step in order] == ["has it", "gives it"] * 2
    assert order[0][:3] == order[1][:3] != order[2][:3]


def test_the_claims_of_a_dead_process_are_void(path: Path) -> None:
    code = """
        async def main():
            async with Journal(path) as journal:
                await journal.claim(unit)
                print("claimed", flush=True)
                await asyncio.sleep(60)
        asyncio.run(main())
    """
    process = run_python(code, path, "-")
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"

    async def take_over() -> None:
        async with Journal(path) as journal:
            claiming = asyncio.create_task(journal.claim(UNIT))
            await asyncio.sleep(0.3)
            assert not claiming.done(), "the other process lives"
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            await claiming
            assert journal.holder(UNIT) == ("claimed", journal.owner.name)

    asyncio.run(take_over())
    assert list(path.with_name("j.sqlite-owners").iterdir()) == []


def test_an_answer_that_arrived_is_kept_though_its_worker_was_interrupted(path: Path) -> None:
    async def write() -> None:
        async with Journal(path) as journal:
            waiting = [
                asyncio.create_task(journal.acknowledge(f"k{i}", UNIT, REQUEST, answer()))
                for i in range(9)
            ]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()

    asyncio.run(write())
    assert rows(path, "SELECT count(*) FROM answers") == [(9,)]


def test_several_processes_write_one_journal(path: Path) -> None:
    code = """
        async def main():
            async with Journal(path) as journal:
                for i in range(40):
                    await journal.acknowledge(f"{name}-{i}", unit, request, Completion("x"))
        asyncio.run(main())
    """
    processes = [run_python(code, path, name) for name in "abc"]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert rows(path, "SELECT count(*) FROM answers") == [(120,)]


def test_a_file_that_is_no_journal_is_explained(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    export = f"neggen journal {path.parent} --export FILE.jsonl, then move it away"
    with pytest.raises(NegGenError, match=rf"j\.sqlite cannot be used .*damaged.*{export}"):
        Journal(path)
    assert path.read_bytes() == b"not a database" * 100
    (tmp_path / "folder").mkdir()
    with pytest.raises(NegGenError, match="folder cannot be used"):
        Journal(tmp_path / "folder")
    with sqlite3.connect(tmp_path / "newer.sqlite") as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(NegGenError, match="journal format 99"):
        Journal(tmp_path / "newer.sqlite")
    made = {entry.name.partition("-")[0] for entry in tmp_path.iterdir()}
    assert made == {"j.sqlite", "folder", "newer.sqlite"}


async def one_answer(path: Path) -> None:
    async with Journal(path) as journal:
        await journal.acknowledge("k", UNIT, REQUEST, answer())


def test_a_damaged_page_is_explained(path: Path) -> None:
    async def write() -> None:
        async with Journal(path) as journal:
            for number in range(200):
                await journal.acknowledge(f"k{number}", UNIT, REQUEST, answer("x" * 500))

    asyncio.run(write())
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 20] = os.urandom(4096 * 17)
    path.write_bytes(content)

    async def read() -> None:
        async with Journal(path) as journal:
            for number in range(200):
                journal.lookup(f"k{number}")

    with pytest.raises(NegGenError, match=r"cannot be used \(.*malformed.*damaged.*--export"):
        asyncio.run(read())
    # Moved away as told, it leaves room for another, though its log may still lie there.
    path.with_name("j.sqlite-wal").touch()
    path.rename(path.with_name("damaged"))
    asyncio.run(one_answer(path))
    assert rows(path, "SELECT count(*) FROM answers") == [(1,)]


def test_a_damaged_shard_is_moved_away_not_exported(path: Path) -> None:
    asyncio.run(one_answer(path))
    shard_folder(path).mkdir(exist_ok=True)
    shard = shard_folder(path) / "rescued-1.sqlite"
    shard.write_bytes(b"not a database" * 100)
    with pytest.raises(NegGenError, match=r"rescued-1\.sqlite .*is damaged: move it away") as told:
        Journal(path)
    assert "--export" not in str(told.value)
    shard.unlink()
    asyncio.run(one_answer(path))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("only the superuser can mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_on_a_full_disk_the_last_answers_still_fit_and_nothing_more_is_asked(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk") as folder:
        path = folder / "j.sqlite"

        async def write() -> int:
            async with Journal(path) as journal:
                for number in range(10_000):
                    journal.lookup(f"k{number}")
                    tasks = [
                        journal.acknowledge(f"k{number}.{i}", UNIT, REQUEST, answer("x" * 9000))
                        for i in range(16)
                    ]
                    await asyncio.gather(*tasks)
            return number

        with pytest.raises(NegGenError, match="is full; every answer so far is kept"):
            asyncio.run(write())
        kept = {str(key) for (key,) in rows(path, "SELECT key FROM answers")}
        last = max(int(key[1:].partition(".")[0]) for key in kept)
        assert last > 3
        assert kept == {f"k{number}.{i}" for number in range(last + 1) for i in range(16)}

        # Without any room it does not start, so that nothing is paid for in vain.
        (folder / "filling").write_bytes(bytes(2**20))
        with pytest.raises(NegGenError, match="check that the disk has room"):
            Journal(path)


def test_what_cannot_be_written_to_the_journal_is_rescued_and_merged_later(path: Path) -> None:
    async def write() -> None:
        async with Journal(path) as journal:
            await journal.acknowledge("before", UNIT, REQUEST, answer())
            with sqlite3.connect(path) as file:
                file.execute("ALTER TABLE answers RENAME TO moved")  # as a stand-in for damage
            file.close()
            await journal.acknowledge("paid", UNIT, REQUEST, answer("dear"))

    with pytest.raises(NegGenError, match=r"on their way are in .*rescued-") as caught:
        asyncio.run(write())
    (rescued,) = shard_folder(path).glob("rescued-*.sqlite")
    assert str(rescued) in str(caught.value)
    with sqlite3.connect(path) as file:
        file.execute("ALTER TABLE moved RENAME TO answers")

    async def read() -> None:
        async with Journal(path) as journal:
            assert journal.lookup("before") == Kept(answer())
            assert journal.lookup("paid") == Kept(answer("dear"))

    asyncio.run(read())
    assert not rescued.exists()


def test_what_is_rescued_elsewhere_has_to_be_moved_first_as_the_message_says(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    asyncio.run(one_answer(path))
    shards = shard_folder(path)

    async def write() -> None:
        async with Journal(path) as journal:
            with sqlite3.connect(path) as file:
                file.execute("ALTER TABLE answers RENAME TO moved")  # as a stand-in for damage
            file.close()
            shards.touch()  # and no file can be made there
            await journal.acknowledge("paid", UNIT, REQUEST, answer("dear"))

    with pytest.raises(NegGenError) as caught:
        asyncio.run(write())
    (rescued,) = elsewhere.glob("rescued-*.sqlite")
    told = f"on their way are in {rescued}; move this file into the folder {shards} first."
    assert told in str(caught.value)
    with sqlite3.connect(path) as file:
        file.execute("ALTER TABLE moved RENAME TO answers")
    shards.unlink()
    shards.mkdir()
    rescued.rename(shards / rescued.name)

    async def read() -> None:
        async with Journal(path) as journal:
            assert journal.lookup("paid") == Kept(answer("dear"))

    asyncio.run(read())


def test_shards_are_merged_once_and_those_of_live_writers_are_left(path: Path) -> None:
    shards = shard_folder(path)
    add = "INSERT INTO answers (key, unit, item_id, modality, step, completion, attempt, generator,"
    add += " answer, prompt_tokens, completion_tokens) VALUES (?, 'u', '7', 'text', 'fused', 0, 1,"
    add += " 'me', ?, 1, 1)"
    done = "INSERT INTO units (key, item_id, modality, generator, state) VALUES (?, '7', '', '', ?)"
    shard = JournalFile(shards / "dead.sqlite", shared=False)
    shard.commit([(add, ("k", "first")), (add, ("l", "x"))])
    shard.commit([(done, ("u", "valid")), (done, ("v", "claimed"))])
    shard.close()

    async def merge() -> None:
        async with Journal(path) as journal:
            await journal.acknowledge("k", UNIT, REQUEST, answer("main"))
        async with Journal(path) as journal, Journal(path) as living:
            shard = JournalFile(shards / f"{living.owner.name}.sqlite", shared=False)
            shard.commit([(add, ("m", "x"))])
            shard.close()
            async with Journal(path):
                pass
            assert journal.lookup("m") is None
        async with Journal(path) as journal:
            assert journal.lookup("m") is not None

    asyncio.run(merge())
    assert rows(path, "SELECT key, answer FROM answers ORDER BY key") == [
        ("k", "first"),
        ("l", "x"),
        ("m", "x"),
    ]
    assert rows(path, "SELECT key, state FROM units") == [("u", "valid")]
    assert list(shards.iterdir()) == []
