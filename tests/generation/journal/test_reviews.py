"""Decisions in the journal: kept in order, by one of two who saw the same, and taken back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neggen.cli import main
from neggen.errors import NegGenError
from neggen.generation.journal import Journal
from neggen.generation.journal.listing import JournalListing
from neggen.generation.journal.reviews import (
    Action,
    Review,
    State,
    add_review,
    latest,
    read_reviews,
    reviews_in,
    to_undo,
)

KEY = ("7", "text", 0)
OPEN, GONE = State(None, {"negative": "a"}), State("rejected", {"negative": "a"})


def review(action: Action = "reject", who: str = "Ann", undoes: int | None = None) -> Review:
    return Review(KEY, action, who, "d", OPEN, GONE, undoes)


def test_a_review_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    assert read_reviews(path) == []
    assert add_review(path, review(), seen=0)
    (kept,) = read_reviews(path)
    assert (kept.number, kept.key, kept.action, kept.reviewer) == (1, KEY, "reject", "Ann")
    assert (kept.before, kept.after) == (OPEN, GONE)
    assert kept.at.startswith("20")
    assert kept.after.used is None
    assert kept.before.used == {"negative": "a"}


def test_of_two_who_saw_the_same_only_the_first_decides(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    assert add_review(path, review(who="Ann"), seen=0)
    assert not add_review(path, review("approve", "Ben"), seen=0)
    assert add_review(path, review("approve", "Ben"), seen=1)
    assert [kept.reviewer for kept in read_reviews(path)] == ["Ann", "Ben"]
    assert latest(read_reviews(path))[KEY].action == "approve"


def test_another_edit_by_the_same_person_from_a_stale_page_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    edits = [
        Review(KEY, "edit", "Ann", "d", OPEN, State("edited", {"negative": text}))
        for text in ("blue", "green")
    ]
    assert add_review(path, edits[0], seen=0)
    assert add_review(path, edits[0], seen=0), "the same again, as after an unsure commit"
    assert not add_review(path, edits[1], seen=0)
    assert len(read_reviews(path)) == 1


def test_undoing_goes_back_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"

    def next_to_undo() -> int | None:
        found = to_undo(read_reviews(path), KEY)
        return None if found is None else found.number

    assert next_to_undo() is None
    for seen, action in enumerate(("edit", "approve")):
        add_review(path, review(action), seen)
    assert next_to_undo() == 2
    add_review(path, review("undo", undoes=2), 2)
    assert next_to_undo() == 1
    add_review(path, review("reject"), 3)
    assert next_to_undo() == 4
    add_review(path, review("undo", undoes=4), 4)
    add_review(path, review("undo", undoes=1), 5)
    assert next_to_undo() is None


def test_a_journal_without_reviews_has_none(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal(path)._file.close()
    with JournalListing(path) as listing:
        assert reviews_in(listing) == []


def test_a_review_that_was_acknowledged_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    script = (
        "import sys, time; from pathlib import Path\n"
        "from neggen.generation.journal.reviews import *\n"
        "state = State(None, None)\n"
        "review = Review(('7', 'text', 0), 'approve', 'Ann', 'd', state, state)\n"
        "for seen in range(1000):\n"
        "    assert add_review(Path(sys.argv[1]), review, seen)\n"
        "    print(seen + 1, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(5)]
    os.kill(process.pid, signal.SIGKILL)
    rest = process.communicate()[0].split()
    told += [int(number) for number in rest]
    kept = [one.number for one in read_reviews(path)]
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) >= told[-1]


def test_a_journal_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_text("no database at all, but long enough to look like a file of something else")
    with pytest.raises(NegGenError, match="cannot be used"):
        add_review(path, review(), 0)
    with pytest.raises(NegGenError, match="cannot be opened"):
        read_reviews(path)


def test_the_command_lists_reviews(ready, monkeypatch, capsys) -> None:
    add_review(ready.journal_path, review(), 0)
    for options, words in (([], "1 decision by people"), (["--reviews"], "Ann")):
        monkeypatch.setattr(sys, "argv", ["neggen", "journal", str(ready.path), *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        shown = capsys.readouterr()
        assert words in shown.out + shown.err
