"""Import, export, import: the same content, or a sentence on what is not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.sparse import csr_matrix, save_npz

from neggen import Dataset
from neggen.data.readers import find_reader, read_source
from neggen.data.store import load_dataset, save_dataset
from neggen.data.vectors import Features, ItemGraph
from neggen.data.writers import WRITERS, same_when_read, write_data
from neggen.testing import refuses
from neggen.workspace import Workspace

AWKWARD = ["007", 'say "hi"', "tab\there", "two\nlines", "ünï → 😀", "a,b;c|d", " blanks ", "#x"]
TEXTS = ['It\'s "blue"', "a\ttab", "two\n\nlines", "ünï 😀", "a, b", "-1", "  ", 'lone "']


def awkward(pictures: Path) -> Dataset:
    """Ids and texts that break careless writers, pictures in folders, times and parts."""
    (pictures / "deep").mkdir(parents=True)
    names = [f"deep/ü {number}.png" if number % 2 else None for number in range(len(AWKWARD))]
    for number, name in enumerate(names):
        if name is not None:
            Image.new("RGB", (8, 8), (number, 0, 0)).save(pictures / name)
    items = pl.DataFrame({"item_id": AWKWARD, "image": names, "title": TEXTS, "empty": [""] * 8})
    pairs = [(user, item) for user in range(8) for item in range(8) if (3 * user + item) % 4]
    pairs.reverse()
    log = pl.DataFrame(
        {
            "user_id": [AWKWARD[user] for user, _ in pairs],
            "item_id": [AWKWARD[item] for _, item in pairs],
            "timestamp": [1_700_000_000 + 7 * row for row in range(len(pairs))],
            "part": [("train", "valid", "test")[row % 3] for row in range(len(pairs))],
        }
    )
    data = Dataset.from_frames(log, items, pictures)
    return data.replace(test_sets={"later": np.array([[0, 3], [2, 1]], dtype=np.int32)})


def typed(pictures: Path) -> Dataset:
    """The same with numbers, lists, nothing, and dates to the microsecond."""
    log, items = awkward(pictures).to_frames()
    start = datetime(2024, 2, 29, 23, 59, 59, 123456)
    log = log.with_columns(
        timestamp=pl.lit(start) + pl.duration(microseconds=pl.int_range(len(log)))
    )
    items = items.with_columns(
        added=pl.lit(start.date()),
        year=pl.Series([1995, None, 3, 4, 5, 6, 7, 8]),
        price=pl.Series([1.5, 0.1, None, 1e300, 2.0, -0.0, 1 / 3, 7.0]),
        tags=pl.Series([["a", "b, c"], [], None, ["ü"], ["d"], ["e"], ["f"], ["g"]]),
        sold=pl.Series([True, False, None, True, True, True, True, True]),
        empty=None,
    )
    return Dataset.from_frames(log, items, pictures)


def plain(pictures: Path) -> Dataset:
    """The awkward one as a matrix has it: sorted, without times and parts."""
    log, items = typed(pictures).to_frames()
    log = log.filter(~pl.col("user_id").str.contains(r"^\s|\n"))
    order = pl.col("item_id").replace_strict(items["item_id"], pl.int_range(len(items), eager=True))
    log = log.select("user_id", "item_id").sort("user_id", order)
    return Dataset.from_frames(log, items, pictures)


def tokens(pictures: Path) -> Dataset:
    """The awkward one as RecBole has it: numbers and texts, nothing where text is empty."""
    log, items = awkward(pictures).to_frames()
    items = items.with_columns(
        year=pl.Series([1995, None, 3, 4, 5, 6, 7, 8]), price=pl.int_range(8) / 4, empty=None
    )
    log = log.with_columns(timestamp=pl.col("timestamp") / 8).drop("part")
    return Dataset.from_frames(log, items, pictures)


def numbered(pictures: Path) -> Dataset:
    """Whole numbers, parts, features and a graph, as MMRec has them."""
    del pictures
    pairs = [(user, item) for user in (3, 1, 2) for item in range(6) if (user + item) % 3]
    log = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row").with_columns(
        part=pl.Series([("train", "valid", "test")[row % 3] for row in range(len(pairs))])
    )
    values = np.arange(24, dtype=np.float32).reshape(6, 4)  # the first row has a zero, not only
    values[2] = 0
    data = Dataset.from_frames(log, pl.DataFrame({"item_id": range(6)}))
    one, other = np.array([0, 0, 1, 3, 3]), np.array([0, 4, 1, 5, 0])
    cosines = np.array([1, 0.25, 1, 0.5, 0.5], dtype=np.float32)
    graph = ItemGraph.from_ties(one, other, cosines, 6)
    features = {"image": Features(values, values.any(axis=1))}
    return data.replace(features=features, graphs={"text": graph})


def sparse_items(pictures: Path) -> Dataset:
    """Whole numbers with gaps, without features."""
    del pictures
    log = pl.DataFrame({"user_id": [9, 9, 4], "item_id": [100, 7, 20]})
    return Dataset.from_frames(log, pl.DataFrame({"item_id": [7, 20, 100]}))


def amazon(folder: Path) -> Dataset:
    """Metadata of 2014 with lists, a quote and an item without a row."""
    folder.mkdir()
    log = [("u1", "a", 30), ("u1", "b", 20), ("ü2", "c", 10)]
    reviews = [
        {"reviewerID": user, "asin": item, "overall": 5.0, "unixReviewTime": time}
        for user, item, time in log
    ]
    meta: list[dict[str, Any]] = [
        {"asin": "a", "title": 'It\'s "blue"\n😀', "brand": "Acme", "price": 9.99},
        {"asin": "b", "categories": [["Home", "Kitchen"], ["Home", "Mugs"]], "description": "x"},
    ]
    for name, rows in (("reviews_X", reviews), ("meta_X", meta)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.json.gz").write_bytes(gzip.compress(text.encode()))
    return read_source(folder)


def movielens(folder: Path) -> Dataset:
    """The layout of ml-1m."""
    folder.mkdir()
    (folder / "ratings.dat").write_text("7::1::5::30\n7::2::2::20\n8::1::4::10\n9::3::3::40\n")
    movies = '1::Café, "The" (1995)::Animation|Children\'s\n2::Heat (1995)::(no genres listed)\n'
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    return read_source(folder)


def matrix(folder: Path) -> Dataset:
    """A matrix with names, one user without an entry, and an item that nobody used."""
    folder.mkdir()
    values = np.array([[5, 2, 0, 0], [0, 0, 0, 0], [4, 0, 0, 3.5]])
    save_npz(folder / "interactions.npz", csr_matrix(values))
    (folder / "users.txt").write_text("u 1\nidle\nü\n")
    (folder / "items.csv").write_text("item_id,title\na,Toy\nb,\nc,x\nd,y\n")
    return read_source(folder)


MADE: list[tuple[str, Callable[[Path], Dataset]]] = [
    ("csv", awkward),
    ("jsonl", awkward),
    ("jsonl", typed),
    ("parquet", awkward),
    ("parquet", typed),
    ("recbole", tokens),
    ("matrix", plain),
    ("matrix", matrix),
    ("mmrec", numbered),
    ("mmrec", sparse_items),
    ("amazon", amazon),
    ("movielens", movielens),
]


@pytest.mark.parametrize(("format", "make"), MADE, ids=lambda each: getattr(each, "__name__", each))
def test_the_same_content_comes_back(
    format: str, make: Callable[[Path], Dataset], tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "w")
    save_dataset(workspace, make(tmp_path / "source"), source="a test")
    data = load_dataset(workspace)
    folder = tmp_path / "out"
    notes = write_data(data, folder, format)
    assert not any("no place" in note for note in notes), notes
    assert find_reader(folder).name in (format, "tables")
    again = read_source(folder)
    assert again.item_table.equals(data.item_table)
    assert again.content_hash == data.content_hash
    assert same_when_read(data, folder)
    assert not [note for note in again.notes if "Not used" in note], again.notes
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_every_format_comes_back_in_some_test() -> None:
    assert {format for format, _ in MADE} == set(WRITERS)


@dataclass(frozen=True)
class Loss:
    """What a format says of data that it cannot carry."""

    format: str
    make: Callable[[Path], Dataset]
    told: list[str] = field(default_factory=list)


LOSSES = [
    Loss("csv", typed, ["CSV holds text only: empty, added, year, price, tags, sold"]),
    Loss("recbole", typed, ["labels of train, valid and test", "tags will be", "sold will be"]),
    Loss(
        "mmrec",
        awkward,
        ["the times", "title, empty", "4 pictures", "test sets later", "i_id_mapping.csv"],
    ),
    Loss("matrix", tokens, ["the times", "the order of the interactions"]),
    Loss("csv", numbered, ["the features image", "the graphs text"]),
    Loss("recbole", numbered, ["the features image", "the labels"]),
    Loss("amazon", awkward, ["4 pictures", "the labels", "no place for empty", "no rating"]),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.format}-{loss.make.__name__}")
def test_what_is_lost_is_told(loss: Loss, tmp_path: Path) -> None:
    data = loss.make(tmp_path / "source")
    if loss.format == "matrix":
        log, items = data.to_frames()
        log = log.filter(~pl.col("user_id").str.contains(r"^\s|\n"))
        data = Dataset.from_frames(log, items, data.image_dir)
    notes = " ".join(write_data(data, tmp_path / "out", loss.format))
    for words in loss.told:
        assert words in notes
    assert not same_when_read(data, tmp_path / "out")
    again = read_source(tmp_path / "out")
    assert len(again.users) == len(data.users)


def test_mmrec_numbers_lead_back_to_the_ids(tmp_path: Path) -> None:
    data = awkward(tmp_path / "source")
    write_data(data, tmp_path / "out", "mmrec")
    log = pl.read_csv(tmp_path / "out" / "out.inter", separator="\t")
    for kind, column, ids in (("u", "userID", data.user_ids), ("i", "itemID", data.item_ids)):
        table = pl.read_csv(tmp_path / "out" / f"{kind}_id_mapping.csv", separator="\t")
        assert sorted(table[table.columns[0]]) == sorted(ids)
        back = log.join(table, on=column, maintain_order="left")[table.columns[0]]
        rows = data.users if kind == "u" else data.items
        assert back.to_list() == ids[rows].to_list()


def test_an_unused_last_item_keeps_its_features_in_mmrec(tmp_path: Path) -> None:
    data = numbered(tmp_path)
    keep = data.items != 5
    fewer = data.replace(
        users=data.users[keep], items=data.items[keep], given_parts=None, parts=None
    )
    write_data(fewer, tmp_path / "out", "mmrec")
    again = read_source(tmp_path / "out")
    table = pl.read_csv(tmp_path / "out" / "i_id_mapping.csv", separator="\t")
    assert table["item_id"].to_list()[0] == 5  # which nobody used, so that the last one is used
    assert np.array_equal(again.features["image"].values[0], data.features["image"].values[5])
    assert again.graphs["text"].neighbors[table["item_id"].to_list().index(3)].tolist()[0] == 0


def test_tables_keep_the_order_of_users_after_a_core(tmp_path: Path) -> None:
    log = pl.DataFrame({"user_id": ["a", "b", "a", "b", "a"], "item_id": ["x", "y", "y", "z", "z"]})
    data = Dataset.from_frames(log).k_core(2)
    assert data.user_ids.to_list() == ["a", "b"]
    assert data.users.tolist() == [1, 0, 1, 0]
    assert write_data(data, tmp_path / "out", "jsonl") == []
    assert same_when_read(data, tmp_path / "out")
    (note,) = write_data(data, tmp_path / "lost", "recbole")
    assert "the order in which users are counted" in note


def test_refuses_what_a_format_cannot_hold(tmp_path: Path) -> None:
    data = awkward(tmp_path / "source")
    with refuses("There is no format 'cvs'", "Did you mean 'csv'"):
        write_data(data, tmp_path / "out", "cvs")
    with refuses("whole numbers", "'#x' is none"):
        write_data(data, tmp_path / "out", "movielens")
    with refuses("one id a line", "' blanks '"):
        write_data(data, tmp_path / "out", "matrix")
    for format in ("mmrec", "recbole", "amazon", "matrix"):
        with refuses("these data have none"):
            write_data(Dataset.from_frames(None, data.to_frames()[1]), tmp_path / "out", format)
    assert not (tmp_path / "out").exists()
    with refuses("not empty"):
        write_data(data, tmp_path / "source", "csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_items_that_nobody_used_come_back_too(tmp_path: Path) -> None:
    items = awkward(tmp_path / "source").to_frames()[1]
    data = Dataset.from_frames(None, items, tmp_path / "source")
    write_data(data, tmp_path / "out", "parquet")
    assert same_when_read(data, tmp_path / "out")


def test_movielens_without_genres(tmp_path: Path) -> None:
    log = pl.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 1], "timestamp": [3, 4, 5]})
    data = Dataset.from_frames(log, pl.DataFrame({"item_id": [1, 2], "title": ["A", "B"]}))
    write_data(data, tmp_path / "out", "movielens")
    assert read_source(tmp_path / "out").item_table["title"].to_list() == ["A", "B"]


@pytest.mark.parametrize("name", ["out_5", "meta_shop", "reviews_shop_5", "meta_"])
def test_amazon_takes_decimal_prices_and_any_name_of_a_folder(tmp_path: Path, name: str) -> None:
    log = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"]})
    prices = pl.Series(["1.50", "2.25"]).cast(pl.Decimal(10, 2))
    data = Dataset.from_frames(log, pl.DataFrame({"item_id": ["a", "b"], "price": prices}))
    write_data(data, tmp_path / name, "amazon")
    assert read_source(tmp_path / name).item_table["price"].to_list() == [1.5, 2.25]
