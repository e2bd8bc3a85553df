"""A journal that is saved, lost and restored, and files that are no saved journal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.budget import Prices
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.journal import Journal
from neggen.generation.journal.backup import is_saved, restore, saved
from neggen.generation.journal.listing import JournalListing
from neggen.generation.journal.reviews import Review, State, add_review, read_reviews
from neggen.generation.record_files import read_records
from neggen.generation.reviews import side_digest
from neggen.generation.run import generate
from neggen.generation.runner import ModalitySummary
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer

AT = "2026-01-01T00:00:00Z"
ANSWER = {
    "key": "k", "unit": "u", "item_id": "7", "modality": "text", "step": "fused", "completion": 0,
    "attempt": 1, "generator": "me", "answer": "no [JSON\x00 🫖", "prompt_tokens": 5,
    "completion_tokens": 2, "cost": 0.25, "rejected_kind": None, "rejected_reason": None, "at": AT,
}  # fmt: skip
UNIT = {
    "unit": "u", "item_id": "7", "modality": "text", "generator": "me", "state": "dead",
    "kind": "no slots", "reason": "Nothing is marked.", "attempts": 3, "cost": 0.5, "at": AT,
}  # fmt: skip
RECORD = {
    "item_id": "7", "modality": "text", "completion": 0, "description": "A red mug.",
    "template": "A [MASK] mug.", "values": ["red"], "replacements": ["blue"],
    "negative": "A blue mug.", "generator": "me",
}  # fmt: skip
REVIEW = {
    "review": 1, "item_id": "7", "modality": "text", "completion": 0, "action": "reject",
    "reviewer": "Ann", "describes": "d", "before": {"verdict": None, "record": RECORD},
    "after": {"verdict": "rejected", "record": RECORD}, "undoes": None, "at": AT,
}  # fmt: skip


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def listed(path: Path) -> list[Any]:
    with JournalListing(path) as listing:
        return [line for _, line in saved(listing)]


def lose(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.rename(path.with_name(f"lost-{file.name}"))


def test_what_is_restored_is_asked_for_no_more_and_decisions_stand(
    server: ChatServer, catalogue: Callable[..., Dataset], tmp_path: Path
) -> None:
    place, data = Workspace(tmp_path / "w"), catalogue(4)
    path = place.journal_path

    def run() -> ModalitySummary:
        prices = Prices(1e6, 1e6)
        backend = OpenAICompatibleBackend(server.url, "m", prices=prices, max_retries=0)
        return generate(place, data, backend, attempts=2).modalities["text"]

    def spent() -> float:
        async def look() -> float:
            async with Journal(path) as journal:
                return journal.spent()

        return asyncio.run(look())

    def reply(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        if "number 0" in str(body):
            return 400, {"error": "no"}
        return server.say("rubbish" if "number 1" in str(body) else server.good)

    server.reply = reply
    failed = {"http 400": 1, "not the JSON asked for": 1}
    assert run().failed == failed
    record = read_records(place.records_path).to_dicts()[0]
    key = (record["item_id"], "text", 0)
    rejected = State("rejected", record)
    review = Review(
        key, "reject", "Ann", side_digest(data, 2, "text"), State(None, record), rejected
    )
    assert add_review(path, review, seen=0)
    assert run().failed == failed
    lines, calls, cost = listed(path), len(server.calls), spent()
    records, reviews = place.records_path.read_bytes(), read_reviews(path)
    assert len(read_records(place.records_path)) == 1

    file = write(tmp_path / "saved.jsonl", *lines)
    lose(path)
    place.records_path.unlink()
    assert restore(path, file) == {"answers": 4, "failures": 2, "reviews": 1}
    assert listed(path) == lines
    assert restore(path, file).total() == 0
    assert (run().failed, len(server.calls), spent()) == (failed, calls, cost)
    assert (place.records_path.read_bytes(), read_reviews(path)) == (records, reviews)
    assert is_saved(file)


def test_lines_come_back_as_they_were(tmp_path: Path) -> None:
    lines = [ANSWER, {**ANSWER, "key": "l", "cost": None}, UNIT, REVIEW]
    lines.append({**REVIEW, "review": 7, "action": "undo", "undoes": 1})
    file = write(tmp_path / "saved.jsonl", *lines[::-1])
    path = tmp_path / "journal.sqlite"
    assert restore(path, file) == {"answers": 2, "failures": 1, "reviews": 2}
    assert sorted(map(str, listed(path))) == sorted(map(str, lines))
    assert add_review(
        path, Review(("8", "text", 0), "approve", "Ben", "d", *[State(None, {})] * 2), 0
    )
    assert read_reviews(path)[-1].number == 8


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        {},
        {**ANSWER, "modality": "sound"},
        {**ANSWER, "attempt": "1"},
        {**ANSWER, "cost": -1},
        {**ANSWER, "cost": float("nan")},
        {**ANSWER, "prompt_tokens": 2**70},
        {**ANSWER, "answer": "\ud800"},
        {**ANSWER, "at": "now"},
        {**ANSWER, "extra": 1},
        {**ANSWER, "rejected_kind": "no slots"},
        {**UNIT, "state": "claimed"},
        {**UNIT, "attempts": None},
        {**UNIT, "state": "valid"},
        {**UNIT, "attempts": 2**40},
        {**REVIEW, "action": "delete"},
        {**REVIEW, "item_id": "8"},
        {**REVIEW, "before": "{}"},
        {**REVIEW, "after": {"verdict": "edited", "record": {**RECORD, "negative": "A cat."}}},
    ],
)
def test_a_bad_line_is_named_and_nothing_is_restored(tmp_path: Path, bad: object) -> None:
    path = tmp_path / "journal.sqlite"
    file = write(tmp_path / "saved.jsonl", ANSWER, REVIEW, bad)
    with pytest.raises(NegGenError, match=r"saved\.jsonl, line 3 is no line of a saved journal"):
        restore(path, file)
    assert not path.exists()
    assert not is_saved(write(tmp_path / "bad.jsonl", bad))


def test_another_decision_of_the_same_number_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    restore(path, write(tmp_path / "saved.jsonl", REVIEW))
    file = write(tmp_path / "other.jsonl", ANSWER, {**REVIEW, "reviewer": "Ben"})
    with pytest.raises(NegGenError, match=r"line 2 is decision 1, .* holds another decision"):
        restore(path, file)
    assert listed(path) == [REVIEW]


def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match=r"cannot be read .*--export"):
        restore(tmp_path / "journal.sqlite", tmp_path / "none.jsonl")
    assert not is_saved(tmp_path)


def test_decisions_are_saved_though_answers_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    answers = [{**ANSWER, "key": f"{n:064}", "answer": "x" * 900} for n in range(200)]
    units = [{**UNIT, "unit": f"{n:064}"} for n in range(50)]
    reviews = [{**REVIEW, "review": n + 1} for n in range(50)]
    restore(path, write(tmp_path / "saved.jsonl", *reviews, *units, *answers))
    content = bytearray(path.read_bytes())
    at = content.index(b"x" * 900) // 4096
    content[4096 * at : 4096 * (at + 3)] = b"\xa5" * 4096 * 3
    path.write_bytes(content)
    with JournalListing(path) as listing:
        found = [line for _, line in saved(listing)]
        assert listing.damage is not None
    assert [line for line in found if "answer" not in line] == units + reviews
    assert 100 < len(found) < 300


def test_decisions_to_come_count_though_fewer_were_saved_than_the_records_know(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"
    restore(path, write(tmp_path / "saved.jsonl", UNIT, REVIEW), known=50)
    before, after = State(None, None), State("approved", None)
    review = Review(("7", "text", 0), "approve", "Ann", "d", before, after)
    assert add_review(path, review, seen=1)
    restore(path, tmp_path / "saved.jsonl", known=3)
    assert add_review(path, review, seen=51)
    assert [each.number for each in read_reviews(path)] == [1, 51, 52]
