"""Tables that are well formed, or nearly, and would be read as something else than was meant."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from neggen.data.dataset import Dataset
from neggen.data.readers import read_source
from neggen.data.store import is_labeled, load_dataset, save_dataset
from neggen.testing import refuses
from neggen.workspace import Workspace

LOG = "user_id,item_id\nann,b1\nben,b2\ncat,b1\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "interactions.csv").write_text(LOG)
    return folder


@pytest.mark.parametrize("name", ["train", "valid", "test", "hard users"])
def test_a_test_set_cannot_take_the_name_of_a_part_or_of_no_file(shop: Path, name: str) -> None:
    (shop / "test_sets").mkdir()
    (shop / "test_sets" / f"{name}.csv").write_text("user_id,item_id\nann,b2\n")
    with refuses(f"{name}.csv", "call it something else"):
        read_source(shop)


def test_a_part_is_a_part_whatever_test_sets_are_called(shop: Path) -> None:
    (shop / "interactions.csv").write_text(
        "user_id,item_id,part\nann,b1,train\nann,b2,valid\nann,b3,test\n"
    )
    data = read_source(shop).split("given")
    same = data.replace(test_sets={"train": np.zeros((0, 2), dtype=np.int32)})
    assert same.train.nnz == data.train.nnz == 1


def test_a_name_that_no_file_can_have_is_refused_before_anything_is_lost(shop: Path) -> None:
    workspace, data = Workspace(shop / "W"), read_source(shop)
    save_dataset(workspace, data, source="shop")
    other = data.replace(test_sets={"hard users": data.everything.indices[:0].reshape(0, 2)})
    with refuses("'hard users' cannot be a file name"):
        save_dataset(workspace, other, source="shop", overwrite=True)
    assert load_dataset(workspace).content_hash == data.content_hash


def test_an_unused_file_may_have_any_name(shop: Path) -> None:
    (shop / os.fsdecode(b"caf\xe9.txt")).touch()
    data = read_source(shop)
    assert "caf" in data.notes[0]
    save_dataset(Workspace(shop / "W"), data, source="shop")
    assert Workspace(shop / "W").manifest()["notes"] == list(data.notes)


def test_a_picture_may_take_the_place_of_a_folder_and_the_other_way_round(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "W")
    for image in ("1", "1/front.png", "1"):
        folder = tmp_path / image.replace("/", "-")
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / image, format="PNG")
        items = pl.DataFrame({"item_id": ["a", "b"], "image": [image, None]})
        log = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"]})
        data = Dataset.from_frames(log, items, folder)
        save_dataset(workspace, data, source="made up", overwrite=True)
        assert load_dataset(workspace).image_path(0) == workspace.image_dir / image
        assert (workspace.image_dir / image).read_bytes() == (folder / image).read_bytes()


def test_pictures_may_lie_elsewhere_behind_a_link(shop: Path) -> None:
    workspace, elsewhere = Workspace(shop / "W"), shop / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    workspace.path.mkdir()
    workspace.image_dir.symlink_to(elsewhere)
    (shop / "deep").mkdir()
    Image.new("RGB", (4, 4)).save(shop / "deep" / "1.png")
    items = pl.DataFrame({"item_id": ["a", "b"], "image": ["deep/1.png", None]})
    log = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"]})
    save_dataset(workspace, Dataset.from_frames(log, items, shop), source="x", overwrite=True)
    assert workspace.image_dir.is_symlink()
    assert (elsewhere / "deep" / "1.png").is_file()


def test_a_stray_quote_does_not_swallow_rows(shop: Path) -> None:
    rows = 'ann,b1,"five stars\nben,b2,fine\ncat,b3,"ok\ndan,b4,meh\n'
    (shop / "interactions.csv").write_text(f"user_id,item_id,review\n{rows}")
    with refuses("interactions.csv", "a quote", "data row 1"):
        read_source(shop)
    meant = rows.replace('"ok', "ok").replace("stars\n", 'stars\nand more"\n')
    (shop / "interactions.csv").write_text(f"user_id,item_id,review\n{meant}")
    assert read_source(shop).user_ids.to_list() == ["ann", "ben", "cat", "dan"]


def test_cut_parquet_ends_in_a_sentence(shop: Path) -> None:
    log = pl.DataFrame({"user_id": ["u"] * 40, "item_id": [f"i{n}" for n in range(40)]})
    log.write_parquet(shop / "log.parquet")
    content = (shop / "log.parquet").read_bytes()
    for length in range(1, len(content), 41):
        (shop / "log.parquet").write_bytes(content[:length])
        with refuses("log.parquet is not a Parquet file"):
            read_source(shop / "log.parquet")


def test_a_damaged_workspace_says_so_when_asked_for_labels(shop: Path) -> None:
    workspace = Workspace(shop / "W")
    save_dataset(workspace, read_source(shop), source="shop")
    workspace.interactions_path.write_bytes(workspace.interactions_path.read_bytes()[:300])
    with refuses("interactions.parquet is not a Parquet file"):
        is_labeled(workspace)


def test_objects_without_keys_are_noted_and_left_out(shop: Path) -> None:
    rows = [{"item_id": f"b{n}", "title": "t", "details": {}, "more": [{"x": {}}]} for n in (1, 2)]
    (shop / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = read_source(shop)
    assert any("details, more (objects without keys)" in note for note in data.notes)
    save_dataset(Workspace(shop / "W"), data, source="shop")


def test_json_without_end_is_refused(shop: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    (shop / "items.jsonl").write_text('{"item_id": "b1", "x": ' + deep + "}\n")
    with refuses("items.jsonl"):
        read_source(shop)


@pytest.mark.parametrize(
    ("column", "values", "culprit"),
    [
        ("timestamp", pl.Series([1, 2**63 + 1], dtype=pl.UInt64), "timestamp"),
        ("part", pl.Series([["train"], ["test"]]), "'part'"),
    ],
)
def test_values_that_cannot_be(column: str, values: pl.Series, culprit: str) -> None:
    with refuses(culprit):
        Dataset.from_frames(pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], column: values}))


def test_dates_that_could_be_read_in_two_ways_are_refused(shop: Path) -> None:
    dated = "user_id,item_id,timestamp\na,1,01/02/2024\na,2,02/01/2024\n"
    (shop / "interactions.csv").write_text(dated)
    with refuses("'01/02/2024'", "ISO 8601"):
        read_source(shop)
    (shop / "interactions.csv").write_text(dated.replace("/2024", "").replace(",0", ",2024/0"))
    time = read_source(shop).to_frames()[0]["timestamp"].to_list()
    assert time == [datetime(2024, 1, 2), datetime(2024, 2, 1)]


def test_what_a_selection_leaves_out_is_noted(shop: Path) -> None:
    (shop / "items.csv").write_text("item_id,title\nb1,x\nb2,y\nb3,never used\n")
    (shop / "test_sets").mkdir()
    (shop / "test_sets" / "new.csv").write_text("user_id,item_id\nann,b3\nann,b2\n")
    assert read_source(shop).at_most(1000).notes == (
        "Left out, as no interaction of theirs is kept: 1 items.",
        "Left out with them: 1 of 2 pairs of 'new'.",
    )


def test_an_index_that_pandas_wrote_is_no_attribute(shop: Path) -> None:
    (shop / "interactions.csv").write_text(",user_id,item_id\n0,ann,b1\n1,ben,b2\n")
    (shop / "items.csv").write_text(",item_id,title\n0,b1,A mug\n1,b2,A bag\n")
    data = read_source(shop)
    assert data.text_columns == ("title",)
    assert not data.notes
