"""Readers find their format by looking, and name file, row and value of what is wrong."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from neggen.data.dataset import Dataset
from neggen.data.readers import find_reader, read_source
from neggen.errors import NegGenError

LOG = pl.DataFrame({"user_id": ["u1", "u1", "u2"], "item_id": ["007", "b", "b"]})
ITEMS = pl.DataFrame(
    {"item_id": ["007", "b"], "title": ["Apple, red", 'a "big"\nloaf'], "image": ["1.png", None]}
)


def write(table: pl.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        table.write_parquet(path)
    elif path.suffix == ".jsonl":
        table.write_ndjson(path)
    else:
        table.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(NegGenError) as caught:
        read_source(path, **options)
    return str(caught.value)


# -- tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_suffix", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("items_suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_in_every_format(tmp_path: Path, log_suffix: str, items_suffix: str) -> None:
    write(LOG, tmp_path / f"interactions.{log_suffix}")
    write(ITEMS, tmp_path / f"items.{items_suffix}")
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    assert find_reader(tmp_path).name == "tables"
    data = read_source(tmp_path)
    assert data.content_hash == Dataset.from_frames(LOG, ITEMS, tmp_path).content_hash
    assert data.item_text(1) == 'title: a "big"\nloaf'
    assert data.notes == ()


def test_pictures_in_a_folder_images(tmp_path: Path) -> None:
    write(LOG, tmp_path / "interactions.csv")
    write(ITEMS, tmp_path / "items.csv")
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / "1.png")
    data = read_source(tmp_path)
    assert data.image_path(0) == tmp_path / "images" / "1.png"
    assert data.notes == ()


def test_unused_files_are_noted(tmp_path: Path) -> None:
    write(LOG, tmp_path / "interactions.csv")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / ".hidden").touch()
    assert read_source(tmp_path).notes == (f"Not used from {tmp_path}: README.md.",)


def test_files_named_one_by_one(tmp_path: Path) -> None:
    log, items, images = (tmp_path / name for name in ("clicks.tsv", "goods.jsonl", "pictures"))
    write(LOG.rename({"user_id": "who", "item_id": "what"}), log)
    write(ITEMS.rename({"item_id": "what", "image": "photo"}), items)
    images.mkdir()
    Image.new("RGB", (4, 4)).save(images / "1.png")
    options = {"user_column": "who", "item_column": "what", "image_column": "photo"}
    for source in (tmp_path, log):
        data = read_source(source, interactions=log, items=items, images=images, **options)
        assert data.content_hash == Dataset.from_frames(LOG, ITEMS, images).content_hash
        assert data.notes == ()


def test_a_file_of_interactions_alone(tmp_path: Path) -> None:
    write(LOG, tmp_path / "log.csv")
    assert read_source(tmp_path / "log.csv").shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "content", "culprits"),
    [
        ("interactions.csv", b"", ["interactions.csv is empty"]),
        ("interactions.csv", b"user_id,item_id\n", ["interactions.csv", "no rows"]),
        ("interactions.csv", b"user_id;item_id\nu;a\n", [".csv seem to be separated by ';'"]),
        ("interactions.tsv", b"user_id,item_id\nu,a\n", [".tsv seem to be separated by ','"]),
        ("interactions.csv", b"user_id,item_id\nu,a\nu\n", ["Row 3 of", ".csv", "1 values for 2"]),
        ("interactions.csv", b"user_id,item_id\nu,a,b\n", ["Row 2 of", "3 values", "'u,a,b'"]),
        ("interactions.tsv", b"user_id\titem_id\nu a\n", ["Row 2 of", "1 values for 2"]),
        ("interactions.csv", b"user_id,item_id\nu,\xe9\n", ["interactions.csv", "byte 18 is 0xe9"]),
        ("interactions.csv", b"user_id,it\xe9m\nu,a\n", ["not UTF-8", "byte 10 is 0xe9"]),
        ("interactions.csv", b"user_id,user_id\nu,a\n", ["two columns named 'user_id'"]),
        ("interactions.csv", b'user_id,item_id\nu,a\nu,"b\nv,a\n', ["never closed", "row 2", "b"]),
        ("interactions.csv", b"user_id,item_id\nu,a\n,b\n", [".csv has user_id = ''", "row 2"]),
        ("interactions.csv", b"userID,item_id\nu,a\n", [".csv", "Did you mean 'userID'?"]),
        ("interactions.jsonl", b"", ["interactions.jsonl is empty"]),
        ("interactions.jsonl", b'{"user_id": 1}\n{"user_id"\n', ["Line 2 of", "not JSON"]),
        ("interactions.jsonl", b'{"user_id": 1}\n[2]\n', ["Line 2 of", "not an object", "[2]"]),
        ("interactions.jsonl", b'{"user_id": "\xe9"}\n', ["interactions.jsonl", "byte 13 is 0xe9"]),
        (
            "interactions.jsonl",
            b'{"a": 1}\n{"a": {"b": 1}}\n',
            ["interactions.jsonl", "same types"],
        ),
        ("interactions.parquet", b"PAR1rubbish", ["interactions.parquet is not a Parquet file"]),
    ],
)
def test_damaged_tables(tmp_path: Path, name: str, content: bytes, culprits: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path)
    for culprit in culprits:
        assert culprit in message


def test_a_table_in_two_formats(tmp_path: Path) -> None:
    write(LOG, tmp_path / "interactions.csv")
    write(LOG, tmp_path / "interactions.parquet")
    assert "interactions.csv and interactions.parquet" in refusal(tmp_path)


def test_what_no_reader_knows(tmp_path: Path) -> None:
    assert "There is no file or folder" in refusal(tmp_path / "gone")
    message = refusal(tmp_path)
    assert "tables: interactions.*" in message
    assert "mmrec: NAME.inter" in message
    (tmp_path / "log.xlsx").touch()
    assert "no format" in refusal(tmp_path / "log.xlsx")
    assert "'.xlsx'; tables are .csv" in refusal(tmp_path, interactions=tmp_path / "log.xlsx")
    assert "There is no file" in refusal(tmp_path, interactions=tmp_path / "log.csv")


def test_json_may_mix_numbers_and_text_in_ids(tmp_path: Path) -> None:
    rows = [{"user_id": 1, "item_id": "a"}, {"user_id": "x", "item_id": 7}]
    (tmp_path / "interactions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = read_source(tmp_path)
    assert data.user_ids.to_list() == ["1", "x"]
    assert data.item_ids.to_list() == ["a", "7"]


# -- MMRec --------------------------------------------------------------------------------------

INTER = "userID\titemID\tx_label\n0\t3\t0\n0\t1\t1\n2\t1\t2\n"


def mmrec(folder: Path, inter: str = INTER, **features: NDArray[np.generic]) -> Path:
    (folder / "toys.inter").write_text(inter)
    for modality, values in features.items():
        np.save(folder / f"{modality}_feat.npy", values)
    return folder


def test_mmrec_labels_and_features(tmp_path: Path) -> None:
    image = np.array([[1, 2], [0, 0], [np.nan, 1], [3, 4]], dtype=np.float16)
    text = np.ones((4, 3), dtype=np.float64)
    mmrec(tmp_path, image=image, text=text)
    (tmp_path / "i_id_mapping.csv").touch()
    assert find_reader(tmp_path).name == "mmrec"
    data = read_source(tmp_path)
    assert data.item_ids.to_list() == ["0", "1", "2", "3"]
    assert data.user_ids.to_list() == ["0", "2"]
    assert data.given_parts is not None
    assert data.given_parts.tolist() == [0, 1, 2]
    assert data.items.tolist() == [3, 1, 1]
    assert data.features["image"].values.tolist() == [[1, 2], [0, 0], [0, 0], [3, 4]]
    assert data.features["image"].values.dtype == np.float32
    assert data.features["image"].mask.tolist() == [True, False, False, True]
    assert data.features["text"].mask.all()
    assert data.notes == (
        "Masked 2 of 4 rows of the features of image: zero or not finite.",
        f"Not used from {tmp_path}: i_id_mapping.csv.",
    )


def test_mmrec_without_features_has_the_items_that_occur(tmp_path: Path) -> None:
    data = read_source(mmrec(tmp_path) / "toys.inter")
    assert data.item_ids.to_list() == ["1", "3"]


@pytest.mark.parametrize(
    ("inter", "culprits"),
    [
        (INTER.replace("2\t1\t2", "2\t1\t5"), ["Row 4", "toys.inter", "x_label = '5'"]),
        (INTER.replace("0\t1\t1", "0\tB00A\t1"), ["Row 3", "itemID = 'B00A'"]),
        (INTER.replace("2\t1\t2", "-2\t1\t2"), ["Row 4", "userID = '-2'"]),
        (INTER.replace("\t1\t2", "\t1"), ["Row 4", "2 values for 3 columns"]),
        (INTER.replace("itemID", "item"), ["'itemID'", "userID, item, x_label"]),
        (INTER.splitlines()[0] + "\n", ["toys.inter", "no rows"]),
        ("", ["toys.inter is empty"]),
    ],
)
def test_damaged_inter_files(tmp_path: Path, inter: str, culprits: list[str]) -> None:
    message = refusal(mmrec(tmp_path, inter))
    for culprit in culprits:
        assert culprit in message


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        (
            np.ones((5, 2)),
            "5 rows for 4 items; give one row an item, in the order of the numbers from 0",
        ),
        (np.ones((3, 2)), "3 rows for 4 items"),
        (np.ones(4), "shape (4,)"),
        (np.array([["a"]] * 4), "type <U1"),
    ],
)
def test_features_that_do_not_fit(
    tmp_path: Path, values: NDArray[np.generic], culprit: str
) -> None:
    message = refusal(mmrec(tmp_path, image=values))
    assert culprit in message
    assert "The features of image" in message


def test_a_wrong_id_is_told_before_as_many_items_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mmrec(tmp_path, image=np.ones((4, 2)))
    (log,) = folder.glob("*.inter")
    with log.open("a") as file:
        file.write("0\t4294967295\t0\n")
    monkeypatch.setattr(np, "arange", None)  # of these, it would be 32 GiB
    assert "4 rows for 4,294,967,296 items" in refusal(folder)


def test_features_beside_tables_are_in_the_order_of_the_items(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id\nb\na\nc\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,a\nu,c\nv,b\n")
    np.save(tmp_path / "sound_feat.npy", np.array([[1.0], [2.0], [0.0]]))
    data = read_source(tmp_path)
    assert data.item_ids.to_list() == ["b", "a", "c"]
    assert data.features["sound"].values.tolist() == [[1], [2], [0]]
    assert data.notes == ("Masked 1 of 3 rows of the features of sound: zero or not finite.",)
    np.save(tmp_path / "sound_feat.npy", np.ones((2, 1)))
    assert f"in the order of the items in {tmp_path / 'items.csv'}." in refusal(tmp_path)
    np.save(tmp_path / "sound_feat.npy", np.array([{}] * 3, dtype=object), allow_pickle=True)
    assert "sound_feat.npy is not a plain NumPy array" in refusal(tmp_path)


def test_pickled_or_truncated_features_are_refused(tmp_path: Path) -> None:
    mmrec(tmp_path, image=np.ones((4, 2)))
    path = tmp_path / "image_feat.npy"
    path.write_bytes(path.read_bytes()[:-8])
    assert "image_feat.npy is not a plain NumPy array" in refusal(tmp_path)
    np.save(path, np.array([{"a": 1}] * 4, dtype=object), allow_pickle=True)
    assert "image_feat.npy is not a plain NumPy array" in refusal(tmp_path)
    np.savez(tmp_path / "x.npz", np.ones((4, 2)))
    (tmp_path / "x.npz").replace(path)
    assert "image_feat.npy is not a plain NumPy array" in refusal(tmp_path)


def test_mmrec_ambiguous_or_misused(tmp_path: Path) -> None:
    mmrec(tmp_path)
    assert "do not apply" in refusal(tmp_path, items=tmp_path / "items.csv")
    (tmp_path / "more.inter").write_text(INTER)
    assert "more.inter, toys.inter" in refusal(tmp_path)
    assert read_source(tmp_path / "toys.inter").shape == (2, 2)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_mark_of_utf_8_in_tables(tmp_path: Path, suffix: str) -> None:
    write(LOG, tmp_path / f"interactions.{suffix}")
    plain = read_source(tmp_path).content_hash
    path = tmp_path / f"interactions.{suffix}"
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert read_source(tmp_path).content_hash == plain
