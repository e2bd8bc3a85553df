"""What is written or imported anew while somebody looks: nobody decides about it unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from reviewing import again, first, opened

from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset, save_dataset
from neggen.errors import NegGenError
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.journal.reviews import Review, read_reviews
from neggen.generation.record_files import read_records
from neggen.generation.records import Record, records_frame
from neggen.generation.reviews import changing, side_digest
from neggen.generation.run import generate
from neggen.studio.choosing import choose
from neggen.studio.desk import Desk
from neggen.studio.entries import Entry
from neggen.studio.pictures import SMALL
from neggen.workspace import Workspace, atomic_path

TITLE = "A striped velvet curtain"
Act = Callable[[Desk, Entry], None]


@pytest.fixture
def desk(ready: Workspace) -> Desk:
    return opened(ready)


def negatives(workspace: Workspace, entry: Entry) -> list[str]:
    return read_records(workspace.records_path).filter(item_id=entry.key[0])["negative"].to_list()


def generate_anew(workspace: Workspace) -> None:
    data = load_dataset(workspace, SplitConfig.build({}))
    generate(workspace, data, CatalogueBackend(data, seed=5))


def import_anew(workspace: Workspace, item: int) -> None:
    """Import the same catalogue with another title of one item."""
    data = load_dataset(workspace)
    titles = data.item_table["title"].to_list()
    titles[item] = TITLE
    table = data.item_table.with_columns(title=pl.Series(titles))
    save_dataset(workspace, data.replace(item_table=table), source="the next", overwrite=True)


ACTS: dict[str, Act] = {
    "approve": lambda desk, entry: desk.approve(entry.key, entry.seen, "Ben"),
    "reject": lambda desk, entry: desk.reject(entry.key, entry.seen, "Ben"),
    "edit": lambda desk, entry: desk.edit(entry.key, entry.seen, "Ben", "A [red] mug.", ("blue",)),
    "regenerate": lambda desk, entry: desk.regenerate(entry.key, entry.seen, "Ben"),
    "undo": lambda desk, entry: desk.undo(entry.key, entry.seen, "Ben"),
}


@pytest.mark.parametrize("act", ["approve", "reject", "edit", "regenerate"])
def test_nobody_decides_about_a_record_that_a_generator_has_replaced(desk: Desk, act: str) -> None:
    entry = first(desk)
    before = negatives(desk.workspace, entry)
    generate_anew(desk.workspace)
    written = negatives(desk.workspace, entry)
    assert written != before
    with pytest.raises(NegGenError, match="Somebody else has changed this"):
        ACTS[act](desk, entry)
    assert read_reviews(desk.workspace.journal_path) == []
    assert negatives(desk.workspace, entry) == written
    ACTS[act](desk, again(desk, entry))


def test_a_generator_that_is_faster_by_a_moment_is_seen(desk: Desk) -> None:
    entry = first(desk)
    path = desk.workspace.records_path
    told: list[str] = []

    def reject() -> None:
        try:
            desk.reject(entry.key, entry.seen, "Ben")
        except NegGenError as error:
            told.append(str(error))

    rejecting = threading.Thread(target=reject)
    with changing(path):
        rejecting.start()
        rejecting.join(0.5)  # until it waits for the file
        records = read_records(path)
        other = pl.when(item_id=entry.key[0]).then(pl.lit("by another")).otherwise("generator")
        with atomic_path(path) as temporary:
            records.with_columns(generator=other).write_parquet(temporary)
    rejecting.join()
    assert len(told) == 1
    assert "Somebody else has changed this" in told[0]
    assert read_reviews(desk.workspace.journal_path) == []


def test_what_a_generator_writes_while_it_is_read_is_not_missed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = first(desk)
    path, read = desk.workspace.records_path, read_reviews
    records = read_records(path)

    def generated_meanwhile(journal: Path) -> list[Review]:
        monkeypatch.setattr("neggen.studio.desk.read_reviews", read)  # but once
        other = pl.when(item_id=entry.key[0]).then(pl.lit("by another")).otherwise("generator")
        with changing(path), atomic_path(path) as temporary:
            records.with_columns(generator=other).write_parquet(temporary)
        return read(journal)

    monkeypatch.setattr("neggen.studio.desk.read_reviews", generated_meanwhile)
    late = opened(desk.workspace)
    now = again(late, entry)
    assert now.state.record is not None
    assert now.state.record["generator"] == "by another"
    late.approve(entry.key, now.seen, "Ann")
    assert read_records(path).filter(item_id=entry.key[0])["generator"].to_list() == ["by another"]


def test_a_file_that_changes_all_the_time_is_shown_but_not_decided_about(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = first(desk)
    path = desk.workspace.records_path

    def always_written(journal: Path) -> list[Review]:
        records = read_records(path)
        with changing(path), atomic_path(path) as temporary:
            records.write_parquet(temporary)
        return read_reviews(journal)

    monkeypatch.setattr("neggen.studio.desk.read_reviews", always_written)
    late = opened(desk.workspace)
    now = again(late, entry)
    with pytest.raises(NegGenError, match="Somebody else has changed this"):
        late.approve(entry.key, now.seen, "Ann")


def test_a_decision_about_an_earlier_text_is_not_taken_back(desk: Desk) -> None:
    entry = first(desk)
    desk.approve(entry.key, entry.seen, "Ann")
    import_anew(desk.workspace, entry.item)
    generate_anew(desk.workspace)
    later = opened(desk.workspace)
    now = again(later, entry)
    written = negatives(later.workspace, entry)
    assert now.state.verdict is None
    assert now.state.record is not None
    assert now.state.record != entry.state.record
    assert now.undoable is None
    with pytest.raises(NegGenError, match=r"Nothing was decided about the text .* as it is now"):
        ACTS["undo"](later, now)
    assert negatives(later.workspace, entry) == written

    ACTS["edit"](later, now)
    assert negatives(later.workspace, entry) == ["A blue mug."]
    ACTS["undo"](later, again(later, entry))
    assert negatives(later.workspace, entry) == written
    assert again(later, entry).undoable is None


@pytest.mark.parametrize("act", list(ACTS))
def test_nobody_decides_about_a_text_that_was_imported_since(desk: Desk, act: str) -> None:
    entry = first(desk)
    desk.approve(entry.key, entry.seen, "Ann")
    entry = again(desk, entry)
    import_anew(desk.workspace, entry.item)
    with pytest.raises(NegGenError, match=r"Somebody else has changed this|as it is now"):
        ACTS[act](desk, entry)
    assert len(read_reviews(desk.workspace.journal_path)) == 1


def test_a_desk_left_open_over_an_import_judges_by_the_new_catalogue(desk: Desk) -> None:
    entry = first(desk)
    import_anew(desk.workspace, entry.item)
    now = again(desk, entry)
    assert TITLE in (desk.data.item_text(now.item) or "")
    assert choose(desk.entries, search=TITLE)[0] == entry.key
    desk.approve(entry.key, now.seen, "Ann")
    data = load_dataset(desk.workspace)
    (review,) = read_reviews(desk.workspace.journal_path)
    assert review.describes == side_digest(data, now.item, "text")
    assert again(opened(desk.workspace), entry).state.verdict == "approved"


def test_while_an_import_is_on_its_way_one_may_look_but_not_decide(desk: Desk) -> None:
    entry = first(desk)
    manifest = desk.workspace.manifest_path
    aside = manifest.rename(manifest.with_suffix(".aside"))
    assert again(desk, entry) == entry
    with pytest.raises(NegGenError, match="is being imported anew; wait"):
        desk.approve(entry.key, entry.seen, "Ann")
    assert read_reviews(desk.workspace.journal_path) == []
    aside.rename(manifest)
    desk.approve(entry.key, entry.seen, "Ann")


def test_pictures_are_those_of_the_new_catalogue(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    for name in ("red", "blue"):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), name).save(tmp_path / "pictures" / f"{name}.png")

    def import_these(*names: str) -> None:
        log = pl.DataFrame({"user_id": "u", "item_id": names})
        items = pl.DataFrame({"item_id": names, "image": [f"{name}.png" for name in names]})
        data = Dataset.from_frames(log, items, image_dir=tmp_path / "pictures")
        save_dataset(workspace, data, source="colours", overwrite=True)

    import_these("red", "blue")
    record = Record(
        item_id="blue", modality="image", description="A blue square.", template="A [MASK] square.",
        values=("blue",), replacements=("red",), negative="A red square.",
    )  # fmt: skip
    records_frame([record], "by hand").write_parquet(workspace.records_path)
    desk = Desk(workspace, lambda number: pytest.fail("nobody is asked"))

    def picture() -> str | None:
        entry = desk.entries.find(("blue", "image", 0))
        assert entry is not None
        return desk.thumbnails.get(entry.item, SMALL)

    before = picture()
    assert before is not None
    import_these("blue")
    assert picture() == before
