"""Every published layout gives the same interactions, and what it knows of the items."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from neggen.data.dataset import Dataset
from neggen.data.download import Downloads
from neggen.data.readers import find_reader, read_source
from neggen.testing import refuses

Make = Callable[[str], Path]


def pairs(data: Dataset) -> list[tuple[str, str]]:
    return list(zip(data.user_ids[data.users], data.item_ids[data.items], strict=True))


def column(data: Dataset, name: str) -> list[object]:
    return data.item_table[name].to_list()


def notes(data: Dataset) -> str:
    return "\n".join(data.notes)


def test_interactions_of_every_layout(layout: tuple[str, Path]) -> None:
    name, folder = layout
    assert name.startswith((find_reader(folder).name, "ml"))
    users, items = ("789", "123") if name.startswith("ml") else (["u1", "u2", "u3"], "abc")
    data = read_source(folder)
    expected = [(users[0], items[0]), (users[0], items[1]), (users[1], items[0])]
    assert pairs(data) == [*expected, (users[2], items[2])]
    if name == "matrix":
        assert data.time is None
    else:
        assert data.time is not None
        seconds = 1000 if name in ("amazon_2023", "amazon_parquet") else 1
        assert data.time.tolist() == [30 * seconds, 20 * seconds, 10 * seconds, 40 * seconds]
    assert "Every rating counts" in notes(data)


def test_a_mark_of_utf_8_is_no_text(layout: tuple[str, Path]) -> None:
    _, folder = layout
    texts = (".inter", ".item", ".json", ".jsonl", ".data", ".dat", ".csv", ".txt")
    files = [path for path in folder.iterdir() if path.suffix in texts or path.name == "u.item"]
    for path in files:
        path.write_bytes(path.read_bytes().replace(b"\xe9", b"e"))  # which would be Latin-1
    plain = read_source(folder).content_hash
    for path in files:
        path.write_bytes(BOM_UTF8 + path.read_bytes())
    assert read_source(folder).content_hash == plain


def test_low_ratings_are_dropped_before_items_are_chosen(layout: tuple[str, Path]) -> None:
    name, folder = layout
    data = read_source(folder, min_rating=4)
    assert data.users.tolist() == [0, 1]
    # The columns of a matrix are its items, used or not.
    assert len(data.item_ids) == (3 if name == "matrix" else 1)
    assert "Dropped 2 of 4 interactions rated under 4." in data.notes
    with refuses("rated 5.5 or more", str(folder)):
        read_source(folder, min_rating=5.5)


def test_what_does_not_apply_is_refused(layout: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = layout
    with refuses("do not apply", "--all-items"):
        (tmp_path / "log.csv").write_text("user_id,item_id\nu,a\n")
        read_source(tmp_path / "log.csv", all_items=True)
    if name != "recbole":
        with refuses("do not apply", "--user-column", find_reader(folder).name):
            read_source(folder, user_column="who")


def test_recbole(make: Make) -> None:
    folder = make("recbole")
    data = read_source(folder)
    assert column(data, "movie_title") == ["Toy Story", "Heat", None]
    assert column(data, "year") == ["1995", None, None]
    assert column(data, "price") == [1.5, None, None]
    assert "v" not in data.item_table.columns
    assert f"Not used from {folder}: ml.user." in data.notes
    assert "Left out 1 items" in notes(data)
    assert "1 of 3 items have no row" in notes(data)
    assert read_source(folder / "ml.inter").content_hash == data.content_hash
    everything = read_source(folder, all_items=True)
    assert everything.item_ids.to_list() == ["a", "b", "unused", "c"]
    assert pairs(read_source(folder, drop_unknown=True)) == pairs(data)[:3]


def test_lines_that_end_as_on_windows(make: Make) -> None:
    folder = make("ml_100k")
    told = read_source(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_source(folder).content_hash == told.content_hash


def test_recbole_with_other_names_and_pictures(make: Make) -> None:
    from PIL import Image

    folder = make("recbole")
    inter = (folder / "ml.inter").read_text().replace("user_id:", "who:").replace("item_id", "it")
    (folder / "ml.inter").write_text(inter)
    (folder / "ml.item").write_text("it:token\timage:token\na\tpictures/1.png\n")
    (folder / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "pictures" / "1.png")
    data = read_source(folder, user_column="who", item_column="it")
    assert data.image_path(0) == folder / "pictures" / "1.png"
    assert "pictures" not in notes(data)


def test_mmrec_and_recbole_are_told_apart_by_their_headers(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text("userID\titemID\tx_label\n0\t0\t0\n")
    assert find_reader(tmp_path).name == "mmrec"
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\n0\t0\n")
    assert find_reader(tmp_path).name == "recbole"
    assert find_reader(tmp_path / "x.inter").name == "recbole"


@pytest.mark.parametrize("year", ["amazon_2014", "amazon_2018", "amazon_2023", "amazon_parquet"])
def test_amazon_items(make: Make, year: str) -> None:
    data = read_source(make(year))
    assert column(data, "title")[0] == 'It\'s "blue"'
    assert column(data, "brand") == ["Acme", None, None]
    assert column(data, "description") == ["A mug.", None, None]
    assert column(data, "categories") == ["Home, Kitchen, Mugs", None, None]
    assert column(data, "price") == [9.99, None, None]
    if year == "amazon_2014":
        assert "features" not in data.item_table.columns
        assert "Dropped 1 repeated items" in notes(data)
        assert "Left out 1 prices" in notes(data)
        assert "Left out 1 items" in notes(data)
        assert "meta_Home.json.gz: related, salesRank." in notes(data)
    else:
        assert column(data, "features") == ["Light; Strong", None, None]


def test_amazon_without_metadata_or_with_it_elsewhere(make: Make, tmp_path: Path) -> None:
    folder = make("amazon_2023")
    told = read_source(folder)
    (folder / "meta_Home.jsonl.gz").rename(tmp_path / "meta.jsonl.gz")
    data = read_source(folder)
    assert "There is no meta_Home beside Home.jsonl.gz" in notes(data)
    assert data.text_columns == ()
    again = read_source(folder / "Home.jsonl.gz", items=tmp_path / "meta.jsonl.gz")
    assert again.content_hash == told.content_hash


def test_amazon_all_items(make: Make) -> None:
    folder = make("amazon_2014")
    data = read_source(folder, all_items=True)
    assert data.item_ids.to_list() == ["a", "unused", "b", "c"]


def test_amazon_pictures_are_downloaded(make: Make, tmp_path: Path) -> None:
    import hashlib

    from PIL import Image

    folder, there = make("amazon_2023"), tmp_path / "there"
    there.mkdir()
    # What is there already is not asked for: no network is needed to see which address is taken.
    address = hashlib.sha256(b"http://pictures.test/l.jpg").hexdigest()
    Image.new("RGB", (4, 4)).save(there / address, format="png")
    data = read_source(folder, downloads=Downloads(there))
    assert data.image_path(0) == there / address
    for name in ("Home", "meta_Home"):
        path = folder / f"{name}.jsonl.gz"
        path.write_bytes(b"")
    review = {"user_id": "u", "parent_asin": "a", "rating": 1}
    (folder / "Home.jsonl.gz").write_text(json.dumps(review))
    with refuses("no web address", "--download-images"):
        read_source(folder, downloads=Downloads(there))


def test_a_table_with_named_columns_is_still_a_table(make: Make) -> None:
    folder = make("amazon_parquet")
    path = folder / "Home.parquet"
    assert find_reader(path).name == "amazon"
    data = read_source(path, item_column="parent_asin")
    assert data.shape == (3, 3)
    assert data.text_columns == ()


@pytest.mark.parametrize("name", ["ml_100k", "ml_1m", "ml_csv"])
def test_movielens_titles_genres_and_tags(make: Make, name: str) -> None:
    data = read_source(make(name))
    assert column(data, "title") == ["Café (1995)", "Heat (1995)", None]
    assert column(data, "genres") == ["Animation, Children's", None, None]
    if name == "ml_csv":
        assert column(data, "tags") == ["pixar, a, b, toys", None, None]


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_matrices(tmp_path: Path, kind: str) -> None:
    rows, columns, values = [2, 0, 0, 1, 1], [1, 3, 0, 2, 2], [1, 2, 3, -1, 1]
    given = sparse.coo_array((values, (rows, columns)), shape=(3, 4)).asformat(kind)
    sparse.save_npz(tmp_path / "interactions.npz", given)
    data = read_source(tmp_path)
    # Entries that add up to zero are none, and without names there are numbers.
    assert sorted(pairs(data)) == [("0", "0"), ("0", "3"), ("2", "1")]
    assert data.item_ids.to_list() == ["0", "1", "2", "3"]
    (tmp_path / "items.txt").write_text("w\nx\ny\nz")
    pl.DataFrame({"item_id": ["z", "w"], "title": ["Z", "W"]}).write_parquet(
        tmp_path / "items.parquet"
    )
    data = read_source(tmp_path)
    assert sorted(pairs(data)) == [("0", "w"), ("0", "z"), ("2", "x")]
    assert data.item_text(data.item_ids.to_list().index("w")) == "title: W"
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,z\n")
    assert find_reader(tmp_path).name == "tables"


def test_values_of_one_matrix_are_no_ratings(tmp_path: Path) -> None:
    sparse.save_npz(tmp_path / "interactions.npz", sparse.csr_array(np.eye(3)))
    assert read_source(tmp_path).notes == ()
