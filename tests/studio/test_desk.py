"""What reviewers do, and what they are told when it cannot be done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from reviewing import again, first, opened

from neggen.errors import NegGenError
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.journal.listing import JournalListing
from neggen.generation.journal.reviews import read_reviews
from neggen.generation.record_files import read_records
from neggen.quality.measure import measure_quality
from neggen.studio.choosing import BAD, choose, queue, reasons
from neggen.studio.desk import Desk, marked_text
from neggen.studio.entries import Entry
from neggen.workspace import Workspace


@pytest.fixture
def desk(ready: Workspace) -> Desk:
    return opened(ready)


def in_file(desk: Desk, entry: Entry) -> list[str]:
    rows = read_records(desk.workspace.records_path).filter(item_id=entry.key[0])
    return rows["negative"].to_list()


def test_approved_rejected_and_taken_back(desk: Desk) -> None:
    entry = first(desk)
    desk.approve(entry.key, entry.seen, "Ann")
    assert again(desk, entry).state.verdict == "approved"
    assert len(in_file(desk, entry)) == 1
    desk.reject(entry.key, again(desk, entry).seen, "Ben")
    rejected = again(desk, entry)
    assert rejected.state.record == entry.state.record, "what was rejected can still be looked at"
    assert in_file(desk, entry) == []
    desk.undo(entry.key, again(desk, entry).seen, "Ann")
    desk.undo(entry.key, again(desk, entry).seen, "Ann")
    assert again(desk, entry).state == entry.state
    assert len(in_file(desk, entry)) == 1
    with pytest.raises(NegGenError, match="Nothing was decided"):
        desk.undo(entry.key, again(desk, entry).seen, "Ann")
    trail = [(one.action, one.reviewer, one.undoes) for one in read_reviews(_journal(desk))]
    assert trail == [
        ("approve", "Ann", None), ("reject", "Ben", None), ("undo", "Ann", 2), ("undo", "Ann", 1)
    ]  # fmt: skip


def test_an_edit_is_checked_as_an_answer_is(desk: Desk) -> None:
    entry = first(desk)
    for marked, replacements, reason in (
        ("No brackets at all.", (), "No key attribute"),
        ("A [red] mug with [dots].", ("blue",), "exactly one for each"),
        ("A [red] mug.", ("not red",), "only its negation"),
        ("A [red] mug.", ("red",), "the same value"),
        ("A [red] mug.", ("I'm sorry, but I can't help with that.",), "refusal"),
        ("A [red] mug.", ("<img src=x onerror=alert(1)>",), "markup"),
    ):
        with pytest.raises(NegGenError, match=reason):
            desk.edit(entry.key, entry.seen, "Ann", marked, replacements)
    assert again(desk, entry) == entry
    desk.edit(entry.key, entry.seen, "Ann", "A [red] mug with [dots].", ("blue", "stripes"))
    after = again(desk, entry)
    assert in_file(desk, entry) == ["A blue mug with stripes."]
    assert after.state.record is not None
    assert marked_text(after.state.record) == "A [red] mug with [dots]."
    assert after.state.record["generator"] == CatalogueBackend.name


def test_who_saw_an_older_state_is_told(desk: Desk) -> None:
    entry = first(desk)
    desk.edit(entry.key, entry.seen, "Ann", "A [red] mug.", ("blue",))
    with pytest.raises(NegGenError, match="Somebody else"):
        desk.reject(entry.key, entry.seen, "Ben")
    assert in_file(desk, entry) == ["A blue mug."]
    with pytest.raises(NegGenError, match="Say who you are"):
        desk.reject(entry.key, again(desk, entry).seen, "  ")
    with pytest.raises(NegGenError, match="There is no text of an item 'nobody'"):
        desk.reject(("nobody", "text", 0), entry.seen, "Ann")


def test_two_desks_see_each_other(desk: Desk) -> None:
    other = opened(desk.workspace)
    entry = first(other)
    desk.edit(entry.key, entry.seen, "Ann", "A [red] mug.", ("blue",))
    seen = again(other, entry)
    assert seen.state.verdict == "edited"
    other.approve(entry.key, seen.seen, "Ben")
    assert again(desk, entry).state.verdict == "approved"


def test_an_item_that_was_never_described_can_be_written_about(desk: Desk) -> None:
    shutil.rmtree(desk.workspace.vectors_dir)
    desk.workspace.records_path.unlink()
    desk.workspace.journal_path.unlink()
    entry = first(desk)
    assert entry.state.record is None
    assert queue(desk.entries) == []
    with pytest.raises(NegGenError, match="no description yet"):
        desk.approve(entry.key, entry.seen, "Ann")
    desk.edit(entry.key, entry.seen, "Ann", "A [red] mug.", ("blue",))
    assert read_records(desk.workspace.records_path)["generator"].to_list() == ["by hand"]
    desk.undo(entry.key, again(desk, entry).seen, "Ann")
    assert read_records(desk.workspace.records_path).is_empty()


def test_one_of_two_negatives_keeps_their_description(desk: Desk) -> None:
    path = desk.workspace.records_path
    records = read_records(path)
    entry = first(desk)
    more = pl.DataFrame([{**entry.state.record, "completion": 1}], schema=records.schema)
    pl.concat([records, more]).write_parquet(path)
    with pytest.raises(NegGenError, match="further negatives of another description"):
        desk.edit(entry.key, entry.seen, "Ann", "A [red] mug.", ("blue",))
    assert entry.state.record is not None
    marked = marked_text(entry.state.record)
    replacements = tuple(f"{word} velvet" for word in "abcdefghijkl"[: marked.count("[")])
    desk.edit(entry.key, entry.seen, "Ann", marked, replacements)
    other = desk.entries.find((*entry.key[:2], 1))
    assert other is not None
    desk.reject(other.key, other.seen, "Ann")
    desk.edit(entry.key, again(desk, entry).seen, "Ann", "A [red] mug.", ("blue",))
    with pytest.raises(NegGenError, match="further negatives of another description"):
        desk.undo(other.key, again(desk, other).seen, "Ann")


def test_the_worst_come_first_until_they_change(desk: Desk, word_encoder) -> None:
    assert not desk.entries.measured
    measure_quality(desk.workspace, encoder=word_encoder)
    table = pl.read_parquet(desk.workspace.quality_dir / "items.parquet")
    keys = queue(desk.entries)
    assert [key[0] for key in keys[:5]] == table["item_id"].head(5).to_list()
    assert reasons(desk.entries)
    assert set(choose(desk.entries, why=BAD)) == set(
        table.filter(pl.col("why") != "").select("item_id", "modality", "completion").iter_rows()
    )
    worst = desk.entries.find(keys[0])
    assert worst is not None
    assert "contrast" in worst.figures
    desk.edit(worst.key, worst.seen, "Ann", "A [red] mug.", ("blue",))
    assert again(desk, worst).figures == {}, "these figures are of the former text"
    assert worst.key not in queue(desk.entries)
    assert choose(desk.entries, status="edited") == [worst.key]
    assert choose(desk.entries, search="MUG blue", status="edited") == [worst.key]
    assert choose(desk.entries, search="mug blue nowhere", status="edited") == []
    desk.undo(worst.key, again(desk, worst).seen, "Ann")
    assert again(desk, worst).figures == worst.figures, "this is the text that was measured"


def test_measures_are_those_of_the_text(desk: Desk, word_encoder) -> None:
    measure_quality(desk.workspace, encoder=word_encoder)
    quality = desk.workspace.quality_dir / "items.parquet"
    entry = first(desk)
    assert entry.figures
    table = pl.read_parquet(quality)
    ours = pl.col("item_id") == entry.key[0]
    other = pl.when(ours).then(pl.lit("What stood here before.")).otherwise("negative")
    table.with_columns(negative=other).write_parquet(quality)
    assert again(desk, entry).figures == {}
    quality.write_bytes(b"no table")
    with pytest.raises(NegGenError, match=r"items\.parquet cannot be read"):
        _ = desk.entries


def test_nothing_is_asked_for_somebody_unknown_or_from_a_stale_page(
    ready: Workspace, server
) -> None:
    desk = Desk(ready, lambda number: OpenAICompatibleBackend(server.url, "tiny"))
    entry = first(desk)
    with pytest.raises(NegGenError, match="Say who you are"):
        desk.regenerate(entry.key, entry.seen, " ")
    desk.approve(entry.key, entry.seen, "Ann")
    with pytest.raises(NegGenError, match="Somebody else"):
        desk.regenerate(entry.key, entry.seen, "Ben")
    assert server.calls == []


def test_the_catalogue_generator_says_something_else(desk: Desk) -> None:
    entry = first(desk)
    desk.regenerate(entry.key, entry.seen, "Ann")
    after = again(desk, entry)
    assert after.state.verdict == "regenerated"
    assert after.state.record is not None
    assert in_file(desk, entry) == [after.state.record["negative"]]
    assert after.key in queue(desk.entries), "somebody should look at it"


def test_a_model_is_asked_again_and_its_answers_are_kept(ready: Workspace, server) -> None:
    answers = [
        {"marked": "No brackets.", "replacements": []},
        {"marked": "A [red] mug.", "replacements": ["blue"]},
        {"marked": "A [green] mug.", "replacements": ["black"]},
    ]
    server.reply = lambda number, body: server.say(answers[number])
    desk = Desk(ready, lambda number: OpenAICompatibleBackend(server.url, "tiny"))
    entry = first(desk)
    desk.regenerate(entry.key, entry.seen, "Ann")
    assert in_file(desk, entry) == ["A blue mug."]
    desk.regenerate(entry.key, again(desk, entry).seen, "Ann")
    assert in_file(desk, entry) == ["A black mug."]
    with JournalListing(ready.journal_path) as listing:
        kept = [row for row in listing.answers() if row["generator"].startswith("openai")]
    assert [json.loads(row["answer"]) for row in kept] == answers
    assert [row["attempt"] for row in kept] == [1, 2, 3]
    assert [row["rejected_kind"] for row in kept] == ["no slots", None, None]


def test_a_model_without_a_valid_answer_changes_nothing(ready: Workspace, server) -> None:
    server.reply = lambda number, body: server.say("Sorry, I cannot do that.")
    desk = Desk(ready, lambda number: OpenAICompatibleBackend(server.url, "tiny"))
    entry = first(desk)
    before = in_file(desk, entry)
    with pytest.raises(NegGenError, match="gave no valid answer: The answer is a refusal"):
        desk.regenerate(entry.key, entry.seen, "Ann")
    assert len(server.calls) == 3
    assert in_file(desk, entry) == before
    assert read_reviews(ready.journal_path) == []


def _journal(desk: Desk) -> Path:
    return desk.workspace.journal_path
