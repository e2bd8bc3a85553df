"""What the journal holds, as typed and shown."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from neggen.cli.output import SHOWN, visible
from neggen.generation.journal import Failure, Journal, Unit
from neggen.generation.records import InvalidAnswer
from neggen.generation.requests import Completion, Request, Usage
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli

HOSTILE = "\x1b[2J[red]\u202e\u200b\n second line [/]"


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace with one valid and one dead item; the model answered with control codes."""
    place = Workspace(tmp_path / "w")
    place.path.mkdir()
    place.write_manifest()

    async def fill() -> None:
        async with Journal(place.journal_path) as journal:
            for item, text in [("i[1]", '{"marked": "ein [Krug]"}'), ("i2", HOSTILE)]:
                unit = Unit(item.ljust(64, "."), item, "text", "tiny [b]")
                request = Request(item, "text", "fused", 1, "system", "user", {})
                answer = Completion(text, Usage(5, 2), 0.25)
                await journal.acknowledge(unit.key, unit, request, answer)
                if item == "i2":
                    await journal.reject(unit.key, InvalidAnswer("no JSON", f"Not: {HOSTILE}"))
                    await journal.finish(unit, Failure("no JSON", f"Not: {HOSTILE}", 1))
                else:
                    await journal.finish(unit, None)

    asyncio.run(fill())
    return place


def assert_harmless(shown: str) -> None:
    for character in shown:
        assert character.isprintable() or character == "\n", f"{character!r} reached the terminal"


def test_it_shows_the_counts(cli: Cli, place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = cli("journal", place.path)
    assert ended.code == 0, ended.err
    assert_harmless(ended.out + ended.err)
    title, _, table = ended.out.partition("\n")
    assert title.strip() == "tiny [b]"
    rows = [line.strip("│ ").split("│") for line in table.split("why", 1)[0].splitlines()]
    cells = {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}
    assert cells == {
        "valid": "1",
        "dead": "1",
        "unfinished": "0",
        "answers": "2",
        "rejected": "1",
        "prompt tokens": "10",
        "completion tokens": "4",
        "cost": "$0.5000",
    }
    assert "no JSON" in ended.out
    assert "Answers from 20" in ended.err
    assert "Dead" not in ended.out


def test_it_lists_what_failed_and_what_was_rejected(
    cli: Cli, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    ended = cli("journal", place.path, "--failed", "--rejected")
    assert_harmless(ended.out + ended.err)
    lines = [line for line in ended.out.splitlines() if "i2" in line]
    assert len(lines) == 2
    assert all(r"\x1b[2J[red]\u202e\u200b\n second line [/]" in line for line in lines)
    assert "i[1]" not in ended.out
    listed = cli("journal", place.path, "--failed", "--rejected", "--json").json()
    assert [row["item_id"] for row in listed["failed"]] == ["i2"]
    assert [row["answer"] for row in listed["rejected"]] == [HOSTILE]
    assert "failed" not in cli("journal", place.path, "--json").json()


def test_it_shows_all_about_an_item(cli: Cli, place: Workspace) -> None:
    ended = cli("journal", place.path, "--item", "i2")
    assert_harmless(ended.out)
    assert "i2, text, tiny [b]: dead" in ended.out
    assert "  fused, completion 0, attempt 1, 5 + 2 tokens, 20" in ended.out
    assert "    \\x1b[2J[red]\\u202e\\u200b\n     second line [/]\n" in ended.out
    assert "  rejected: no JSON: Not: " in ended.out
    ended = cli("journal", place.path, "--item", "i[1]")
    assert '    {"marked": "ein [Krug]"}\n  not rejected\n' in ended.out
    (unit,) = cli("journal", place.path, "--item", "i2", "--json").json()["units"]
    assert [answer["answer"] for answer in unit["answers"]] == [HOSTILE]
    ended = cli("journal", place.path, "--item", "i3")
    assert ended.code == 2
    assert "holds nothing about an item 'i3'" in ended.remark()


def test_it_saves_all_answers(cli: Cli, place: Workspace, tmp_path: Path) -> None:
    backup = tmp_path / "backup.jsonl"
    told = cli("journal", place.path, "--export", backup, "--json").json()
    counts = {"answers": 2, "failures": 1, "reviews": 0}
    assert told == {"file": str(backup), **counts, "damage": None}
    *saved, dead = [json.loads(line) for line in backup.read_text(encoding="utf-8").splitlines()]
    assert [(row["item_id"], row["answer"]) for row in saved] == [
        ("i[1]", '{"marked": "ein [Krug]"}'),
        ("i2", HOSTILE),
    ]
    assert [row["rejected_kind"] for row in saved] == [None, "no JSON"]
    ended = cli("journal", place.path, "--export", backup)
    assert (dead["item_id"], dead["state"], dead["attempts"]) == ("i2", "dead", 1)
    told_again = "2 answers, 1 failure and 0 decisions saved"
    assert (ended.out, told_again in ended.err) == ("", True)


def test_a_damaged_journal_never_replaces_a_better_backup(
    cli: Cli, place: Workspace, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.jsonl"
    assert cli("journal", place.path, "--export", backup).code == 0
    precious = backup.read_text()
    content = place.journal_path.read_bytes()
    place.journal_path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    ended = cli("journal", place.path)
    assert ended.code == 2
    assert "malformed" in ended.remark()
    assert ".recover" in ended.remark()
    ended = cli("journal", place.path, "--export", backup)
    assert ended.code == 2
    assert "kept as it is" in ended.remark()
    assert backup.read_text() == precious
    ended = cli("journal", place.path, "--export", tmp_path / "new.jsonl")
    assert ended.code == 0
    assert "is damaged" in ended.remark()
    assert (tmp_path / "new.jsonl").read_text() == ""


def test_what_cannot_be_shown_is_explained(cli: Cli, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w")
    assert "is not a workspace" in cli("journal", place.path).remark()
    place.path.mkdir()
    place.write_manifest()
    ended = cli("journal", place.path)
    assert ended.code == 2
    assert f"begin with: neggen generate {place.path}" in ended.err
    assert not place.journal_path.exists()
    assert "not several" in cli("journal", place.path, "--item", "1", "--failed").remark()


def test_nothing_that_a_terminal_obeys_stays() -> None:
    for character in map(chr, range(0x110000)):
        assert visible(character).isprintable() or character in SHOWN
    assert visible("Krug 🫖 – „gut“\u00a0!") == "Krug 🫖 – „gut“\u00a0!"


def test_batches_are_given_up_on_demand(cli: Cli, ready: Workspace) -> None:
    told = cli("journal", ready.path, "--forget-batches")
    assert told.code == 0
    assert "Gave up 0 batch jobs." in told.remark()


def test_an_export_overwrites_nothing_but_an_earlier_one(cli: Cli, place: Workspace) -> None:
    before = place.journal_path.read_bytes()
    for path in (place.journal_path, place.manifest_path, place.path):
        refused = cli("journal", place.path, "--export", path)
        assert refused.code == 2
        assert "is no earlier export" in refused.remark()
    assert place.journal_path.read_bytes() == before
    saved = place.path / "answers.jsonl"
    for _ in "12":
        assert cli("journal", place.path, "--export", saved).code == 0
    assert len(saved.read_text().splitlines()) == 3


def test_a_journal_without_answers_says_so(cli: Cli, tmp_path: Path) -> None:
    empty = Workspace(tmp_path / "e")
    empty.path.mkdir()
    empty.write_manifest()
    asyncio.run(_touch(empty))
    assert "holds no answers yet" in cli("journal", empty.path).remark()


async def _touch(place: Workspace) -> None:
    async with Journal(place.journal_path):
        pass


def test_what_was_saved_is_put_back(cli: Cli, place: Workspace, tmp_path: Path) -> None:
    backup = tmp_path / "backup.jsonl"
    assert cli("journal", place.path, "--export", backup).code == 0
    for file in place.path.glob("journal.sqlite*"):
        file.rename(tmp_path / file.name)
    assert cli("journal", place.path).code == 2
    told = cli("journal", place.path, "--restore", backup, "--json").json()
    assert told == {"file": str(backup), "answers": 2, "failures": 1, "reviews": 0}
    again = cli("journal", place.path, "--restore", backup)
    assert "0 answers, 0 failures and 0 decisions of" in again.remark()
    second = tmp_path / "second.jsonl"
    assert cli("journal", place.path, "--export", second).code == 0
    assert second.read_bytes() == backup.read_bytes()
    with backup.open("a") as file:
        file.write("{}\n")
    refused = cli("journal", place.path, "--restore", backup)
    assert refused.code == 2
    assert f"{backup}, line 4 is no line of a saved journal" in refused.err
    both = cli("journal", place.path, "--restore", backup, "--failed")
    assert "not several" in both.remark()
