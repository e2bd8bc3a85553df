from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from neggen.errors import NegGenError
from neggen.generation.journal import Entry, Failure, Journal
from neggen.generation.requests import Completion, Request, Usage

REQUEST = Request("7", "text", "fused", 1, "system", "user", {})


def entry(key: str, text: str = "answer") -> Entry:
    return Entry(key, REQUEST, "me", Completion(text, Usage(5, 2)))


def run_python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_what_is_acknowledged_can_be_looked_up_even_by_others(tmp_path: Path) -> None:
    async def write() -> None:
        async with (
            Journal(tmp_path / "j.sqlite") as journal,
            Journal(tmp_path / "j.sqlite") as other,
        ):
            assert journal.lookup("a") is None
            await asyncio.gather(*(journal.acknowledge(entry(f"k{i}")) for i in range(500)))
            await journal.acknowledge(entry("raw", "no [JSON\x00 \n"))
            assert other.lookup("k499") == Completion("answer", Usage(5, 2))
            await other.acknowledge(entry("k499", "a second answer to the same question"))
            assert journal.lookup("k499") == Completion("answer", Usage(5, 2))

    asyncio.run(write())
    with sqlite3.connect(tmp_path / "j.sqlite") as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (501,)
        row = file.execute("SELECT * FROM answers WHERE key = 'raw'").fetchone()
    assert row[1:9] == ("7", "text", "fused", 1, "me", "no [JSON\x00 \n", 5, 2)


def test_failures_are_kept_with_their_reason(tmp_path: Path) -> None:
    async def write() -> None:
        async with Journal(tmp_path / "j.sqlite") as journal:
            await journal.acknowledge(Failure("7", "text", "me", "http 500", "It broke."))

    asyncio.run(write())
    with sqlite3.connect(tmp_path / "j.sqlite") as file:
        rows = file.execute("SELECT item_id, kind, reason FROM failures").fetchall()
    assert rows == [("7", "http 500", "It broke.")]


def test_an_answer_that_arrived_is_kept_though_its_worker_was_interrupted(tmp_path: Path) -> None:
    async def write() -> None:
        async with Journal(tmp_path / "j.sqlite") as journal:
            waiting = [asyncio.create_task(journal.acknowledge(entry(f"k{i}"))) for i in range(9)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()

    asyncio.run(write())
    with sqlite3.connect(tmp_path / "j.sqlite") as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (9,)


def test_several_processes_write_one_journal(tmp_path: Path) -> None:
    code = """
        import asyncio, sys
        from pathlib import Path
        from neggen.generation.journal import *
        request = Request("7", "text", "fused", 1, "s", "u", {})
        async def main():
            async with Journal(Path(sys.argv[1])) as journal:
                for i in range(40):
                    key = f"{sys.argv[2]}-{i}"
                    await journal.acknowledge(Entry(key, request, "me", Completion("x")))
        asyncio.run(main())
    """
    processes = [run_python(code, tmp_path / "j.sqlite", name) for name in "abc"]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    with sqlite3.connect(tmp_path / "j.sqlite") as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (120,)


def test_a_file_that_is_no_journal_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(NegGenError, match=r"j\.sqlite cannot be used"):
        Journal(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(NegGenError, match="folder cannot be used"):
        Journal(tmp_path / "folder")
    with sqlite3.connect(tmp_path / "newer.sqlite") as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(NegGenError, match="journal format 99"):
        Journal(tmp_path / "newer.sqlite")


def test_a_full_disk_is_explained_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    code = """
        import asyncio, resource, signal, sys
        from pathlib import Path
        from neggen.errors import NegGenError
        from neggen.generation.journal import *
        request = Request("7", "text", "fused", 1, "s", "u", {})
        async def main():
            async with Journal(Path(sys.argv[1])) as journal:
                await journal.acknowledge(Entry("small", request, "me", Completion("x")))
                # From here on the system refuses to let files grow, as a full disk does.
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
                try:
                    answer = Completion("x" * 10**6)
                    await journal.acknowledge(Entry("large", request, "me", answer))
                except NegGenError as error:
                    print(error)
                    raise
        try:
            asyncio.run(main())
        except NegGenError:
            sys.exit(2)
    """
    process = run_python(code, tmp_path / "j.sqlite")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert "disk has room" in output
    with sqlite3.connect(tmp_path / "j.sqlite") as file:
        assert file.execute("SELECT key FROM answers").fetchall() == [("small",)]
