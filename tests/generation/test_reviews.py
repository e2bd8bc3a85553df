"""What people decided reaches the records, whatever a generator or a crash does."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from neggen.config import SplitConfig
from neggen.data.store import load_dataset
from neggen.encoding.store import encode
from neggen.errors import NegGenError
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.journal.reviews import (
    Action,
    Review,
    State,
    Verdict,
    add_review,
    to_undo,
)
from neggen.generation.record_files import current_records, read_records
from neggen.generation.records import fill
from neggen.generation.reviews import NOTE, known_reviews, side_digest
from neggen.generation.run import generate
from neggen.runs import train_run, with_vectors
from neggen.workspace import Workspace


class Reviewed:
    """A workspace and a pen to decide with, as the studio does it, up to the journal."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.data = load_dataset(workspace)
        self.seen: dict[str, int] = {}

    def read(self) -> pl.DataFrame:
        place = self.workspace
        return current_records(place.records_path, place.journal_path, self.data)

    def record(self, item_id: str) -> dict[str, Any] | None:
        rows = self.read().filter(pl.col("item_id") == item_id).to_dicts()
        return rows[0] if rows else None

    def decide(self, item_id: str, action: Action, before: State, after: State) -> None:
        item = self.data.item_ids.to_list().index(item_id)
        digest = side_digest(self.data, item, "text")
        review = Review((item_id, "text", 0), action, "Ann", digest, before, after)
        assert add_review(self.workspace.journal_path, review, self.seen.get(item_id, 0))
        self.seen[item_id] = max(self.seen.values(), default=0) + 1

    def generate(self, seed: int) -> None:
        data = load_dataset(self.workspace, SplitConfig.build({}))
        generate(self.workspace, data, CatalogueBackend(data, seed=seed))


@pytest.fixture
def desk(ready: Workspace) -> Reviewed:
    return Reviewed(ready)


def edited(record: dict[str, Any], verdict: Verdict = "edited") -> State:
    replacements = [f"{word} of velvet" for word in "abcdefghijkl"[: len(record["values"])]]
    negative = fill(record["template"], tuple(replacements))
    return State(verdict, {**record, "replacements": replacements, "negative": negative})


def two(desk: Reviewed) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = desk.read().head(2).to_dicts()
    return first, second


def test_an_edit_and_a_rejection_reach_the_file_and_it_says_so(desk: Reviewed) -> None:
    first, second = two(desk)
    before = desk.read()
    desk.decide(first["item_id"], "edit", State(None, first), edited(first))
    desk.decide(second["item_id"], "reject", State(None, second), State("rejected", second))
    after = desk.read()
    assert len(after) == len(before) - 1
    assert desk.record(second["item_id"]) is None
    assert "of velvet" in after["negative"][0]
    assert after[1:].equals(before[2:])
    path = desk.workspace.records_path
    assert read_records(path).equals(after)
    note = json.loads((pq.read_metadata(path).metadata or {})[NOTE])
    assert note == {"last": 2, "edited": 1, "rejected": 1}
    assert b"neggen.described.text" in (pq.read_metadata(path).metadata or {})


def test_only_what_changed_is_encoded_and_the_rejected_is_masked(
    desk: Reviewed, word_encoder
) -> None:
    first, second = two(desk)
    before = with_vectors(desk.workspace, desk.data).vectors
    desk.decide(first["item_id"], "edit", State(None, first), edited(first))
    desk.decide(second["item_id"], "reject", State(None, second), State("rejected", second))
    with pytest.raises(NegGenError, match="run: neggen encode"):
        with_vectors(desk.workspace, desk.data)
    done = encode(desk.workspace, desk.data, desk.read(), word_encoder)
    assert done.encoded == 1
    after = with_vectors(desk.workspace, desk.data).vectors
    assert before is not None
    assert after is not None
    assert after.content_hash != before.content_hash
    ids = desk.data.item_ids.to_list()
    changed = np.flatnonzero((after.negative != before.negative).any(axis=(1, 2, 3)))
    assert set(changed) == {ids.index(first["item_id"]), ids.index(second["item_id"])}
    masked = np.flatnonzero(before.mask[:, 0] & ~after.mask[:, 0])
    assert masked.tolist() == [ids.index(second["item_id"])]
    run = train_run(desk.workspace, "neggen-linear", {}, SplitConfig.build({}))
    assert run.manifest["vectors_hash"] == after.content_hash


def test_generating_again_keeps_what_was_decided(desk: Reviewed) -> None:
    first, second = two(desk)
    desk.decide(first["item_id"], "edit", State(None, first), edited(first))
    desk.decide(second["item_id"], "reject", State(None, second), State("rejected", second))
    unreviewed = desk.read()[1:]
    desk.generate(seed=5)
    kept = desk.record(first["item_id"])
    assert kept is not None
    assert "of velvet" in kept["negative"]
    assert desk.record(second["item_id"]) is None
    assert not desk.read()[1:].equals(unreviewed), "the others should be written anew"
    assert known_reviews(desk.workspace.records_path) == 2


def test_what_was_taken_back_is_the_generators_again(desk: Reviewed) -> None:
    first, _ = two(desk)
    desk.decide(first["item_id"], "edit", State(None, first), edited(first))
    desk.decide(first["item_id"], "undo", edited(first), State(None, first))
    assert desk.record(first["item_id"]) == first
    desk.generate(seed=5)
    after = desk.record(first["item_id"])
    assert after is not None
    assert after["negative"] != first["negative"]


def test_a_decision_about_an_earlier_text_is_void(desk: Reviewed) -> None:
    first, _ = two(desk)
    desk.decide(first["item_id"], "reject", State(None, first), State("rejected", first))
    title = desk.data.item_table["title"].to_list()
    title[desk.data.item_ids.to_list().index(first["item_id"])] = "Another thing altogether"
    table = desk.data.item_table.with_columns(title=pl.Series(title))
    desk.data = desk.data.replace(item_table=table)
    assert desk.record(first["item_id"]) is not None


def test_what_was_decided_about_an_earlier_text_is_not_taken_back() -> None:
    key, state = ("7", "text", 0), State(None, None)

    def decided(*about: str) -> list[Review]:
        return [
            Review(key, "approve", "Ann", digest, state, state, number=number)
            for number, digest in enumerate(about, 1)
        ]

    def taken_back(reviews: list[Review], now: str) -> int | None:
        found = to_undo(reviews, key, now)
        return None if found is None else found.number

    assert taken_back(decided("old"), "old") == 1
    assert taken_back(decided("old"), "new") is None
    assert taken_back(decided("old", "new"), "new") == 2
    assert taken_back(decided("old", "new"), "old") is None
    undone = Review(key, "undo", "Ann", "new", state, state, undoes=2, number=3)
    assert taken_back([*decided("old", "new"), undone], "new") is None
    by_an_earlier_version = Review(key, "undo", "Ann", "new", state, state, undoes=1, number=2)
    assert taken_back([*decided("old"), by_an_earlier_version], "new") is None


def test_another_description_leaves_no_negative_of_the_former(desk: Reviewed) -> None:
    first, _ = two(desk)
    path = desk.workspace.records_path
    second = {**first, "completion": 1}
    pl.concat([read_records(path), pl.DataFrame([second], schema=read_records(path).schema)]).sort(
        "item_id", "completion"
    ).write_parquet(path)
    template = "A [MASK] thing."
    new = {
        **first, "template": template, "values": ["round"], "replacements": ["square"],
        "description": "A round thing.", "negative": "A square thing.",
    }  # fmt: skip
    desk.decide(first["item_id"], "edit", State(None, first), State("edited", new))
    rows = desk.read().filter(pl.col("item_id") == first["item_id"])
    assert rows["description"].to_list() == ["A round thing."]


def test_a_folder_that_cannot_be_written_keeps_the_review(desk: Reviewed, monkeypatch) -> None:
    first, _ = two(desk)
    desk.decide(first["item_id"], "reject", State(None, first), State("rejected", first))
    lock = desk.workspace.path / ".negatives.parquet.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()  # stands where the lock should be made
    with pytest.raises(NegGenError, match=r"cannot be changed .* they are kept"):
        desk.read()
    lock.rmdir()
    assert desk.record(first["item_id"]) is None
