"""Small sources in the layouts that data sets are published in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
INTER += "u1\ta\t5\t30\nu1\tb\t2\t20\nu2\ta\t4\t10\nu3\tc\t3\t40\n"
ITEM = "item_id:token\tmovie_title:token_seq\tyear:token\tprice:float\tv:float_seq\n"
ITEM += "a\tToy Story\t1995\t1.5\t1 2\nb\tHeat\t\t\t1 2\nunused\tJumanji\t1995\t2\t1 2\n"


def lines(path: Path, rows: Iterable[Mapping[str, Any]], write: Callable[[Any], str]) -> None:
    text = "".join(write(row) + "\n" for row in rows)
    packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())


def recbole(folder: Path) -> Path:
    (folder / "ml.inter").write_text(INTER)
    (folder / "ml.item").write_text(ITEM)
    (folder / "ml.user").write_text("user_id:token\tage:float\nu1\t30\n")
    return folder


REVIEWS_2014 = [
    {"reviewerID": "u1", "asin": "a", "overall": 5.0, "reviewText": "ok", "unixReviewTime": 30},
    {"reviewerID": "u1", "asin": "b", "overall": 2.0, "reviewText": "", "unixReviewTime": 20},
    {"reviewerID": "u2", "asin": "a", "overall": 4.0, "reviewText": "ü", "unixReviewTime": 10},
    {"reviewerID": "u3", "asin": "c", "overall": 3.0, "reviewText": "", "unixReviewTime": 40},
]
META_2014 = [
    {
        "asin": "a",
        "title": 'It\'s "blue"',
        "brand": "Acme",
        "description": "A mug.",
        "price": 9.99,
        "imUrl": "http://pictures.test/a.jpg",
        "categories": [["Home", "Kitchen"], ["Home", "Mugs"]],
        "related": {"also_bought": ["b"]},
        "salesRank": {"Home": 3},
    },
    {"asin": "unused", "title": "Nobody's"},
    {"asin": "b", "title": "", "price": "$1,234.50 - $2,000.00", "imUrl": "javascript:alert(1)"},
    {"asin": "a", "title": "Again"},
]
META_2018 = [
    {
        "asin": "a",
        "title": 'It\'s "blue"',
        "brand": "Acme",
        "description": ["A mug."],
        "feature": ["Light", "Strong"],
        "price": "$9.99",
        "imageURL": ["http://pictures.test/small.jpg"],
        "imageURLHighRes": ["http://pictures.test/a.jpg", "http://pictures.test/2.jpg"],
        "category": ["Home", "Kitchen", "Mugs"],
    },
]
REVIEWS_2023 = [
    {
        "rating": row["overall"],
        "title": "Good",
        "text": "ok",
        "images": [],
        "asin": f"variant of {row['asin']}",
        "parent_asin": row["asin"],
        "user_id": row["reviewerID"],
        "timestamp": row["unixReviewTime"] * 1000,
    }
    for row in REVIEWS_2014
]
META_2023 = [
    {
        "parent_asin": "a",
        "title": 'It\'s "blue"',
        "store": "Acme",
        "description": ["A mug."],
        "features": ["Light", "Strong"],
        "categories": ["Home", "Kitchen", "Mugs"],
        "price": 9.99,
        "images": [
            {"thumb": "http://pictures.test/t.jpg", "large": None, "hi_res": None, "variant": "X"},
            {"thumb": "http://pictures.test/t2.jpg", "large": "http://pictures.test/l.jpg"},
        ],
        "details": {"Color": "Blue"},
    },
    {"parent_asin": "b", "title": "B", "price": None, "images": [], "description": []},
]


def amazon_2014(folder: Path) -> Path:
    lines(folder / "reviews_Home_5.json.gz", REVIEWS_2014, json.dumps)
    lines(folder / "meta_Home.json.gz", META_2014, repr)
    return folder


def amazon_2018(folder: Path) -> Path:
    lines(folder / "Home.json.gz", REVIEWS_2014, json.dumps)
    lines(folder / "meta_Home.json.gz", META_2018, json.dumps)
    return folder


def amazon_2023(folder: Path) -> Path:
    lines(folder / "Home.jsonl.gz", REVIEWS_2023, json.dumps)
    lines(folder / "meta_Home.jsonl.gz", META_2023, json.dumps)
    return folder


def amazon_parquet(folder: Path) -> Path:
    pl.DataFrame(REVIEWS_2023).write_parquet(folder / "Home.parquet")
    # As on the Hugging Face hub: lists side by side, and prices as text.
    meta = [
        {**row, "price": str(row["price"]), "images": {"large": [None], "thumb": ["http://t.test"]}}
        for row in META_2023
    ]
    pl.DataFrame(meta).write_parquet(folder / "meta_Home.parquet")
    return folder


def ml_100k(folder: Path) -> Path:
    flags = ["0"] * 19
    flags[3] = flags[4] = "1"
    rows = [["1", "Café (1995)", "01-Jan-1995", "", "http://x", *flags]]
    rows += [["2", "Heat (1995)", "", "", "", *["0"] * 19]]
    (folder / "u.data").write_text("7\t1\t5\t30\n7\t2\t2\t20\n8\t1\t4\t10\n9\t3\t3\t40\n")
    (folder / "u.item").write_bytes("\n".join(map("|".join, rows)).encode("latin-1") + b"\n")
    (folder / "u.genre").write_text("unknown|0\n")
    return folder


def ml_1m(folder: Path) -> Path:
    (folder / "ratings.dat").write_text("7::1::5::30\n7::2::2::20\n8::1::4::10\n9::3::3::40\n")
    movies = "1::Café (1995)::Animation|Children's\n2::Heat (1995)::(no genres listed)\n"
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    return folder


def ml_csv(folder: Path) -> Path:
    ratings = "7,1,5.0,30\n7,2,2.0,20\n8,1,4.0,10\n9,3,3.0,40\n"
    (folder / "ratings.csv").write_text(f"userId,movieId,rating,timestamp\n{ratings}")
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n1,Café (1995),Animation|Children's\n"
        "2,Heat (1995),(no genres listed)\n"
    )
    (folder / "tags.csv").write_text(
        'userId,movieId,tag,timestamp\n7,1,toys,1\n8,1,Pixar,1\n9,1,pixar ,1\n7,1,"a, b",1\n'
    )
    return folder


def matrix(folder: Path) -> Path:
    ratings = np.array([[5, 2, 0], [4, 0, 0], [0, 0, 3], [0, 0, 0]], dtype=np.float32)
    sparse.save_npz(folder / "interactions.npz", sparse.csr_matrix(ratings))
    (folder / "users.txt").write_text("u1\nu2\nu3\nu4\n")
    (folder / "items.csv").write_text("item_id,title\na,Toy Story\nb,Heat\nc,\n")
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    make.__name__: make
    for make in (
        recbole,
        amazon_2014,
        amazon_2018,
        amazon_2023,
        amazon_parquet,
        ml_100k,
        ml_1m,
        ml_csv,
        matrix,
    )
}


@pytest.fixture
def layouts() -> dict[str, Callable[[Path], Path]]:
    """What writes a source, by the name of its layout."""
    return LAYOUTS


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The name of a layout and a folder in it: four interactions, rated 5, 2, 4 and 3."""
    folder = tmp_path / "source"
    folder.mkdir()
    return request.param, LAYOUTS[request.param](folder)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    """Make a folder in the layout of that name."""
    folder = tmp_path / "source"
    folder.mkdir()
    return lambda name: LAYOUTS[name](folder)
