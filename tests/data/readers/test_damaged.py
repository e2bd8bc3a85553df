"""Damaged and hostile files of published layouts end in a sentence that says where."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from neggen.data.readers import read_source
from neggen.data.readers.records import LINE_BYTES, LITERAL_BYTES
from neggen.errors import NegGenError
from neggen.testing import refuses

Make = Callable[[str], Path]
REVIEW = b'{"user_id": "u", "parent_asin": "a", "rating": 1, "timestamp": 1}\n'


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "culprits"),
    [
        ("recbole", "ml.inter", "u1\tb\t2", "u1\tb\tx", ["Row 3 of", "rating:float = 'x'"]),
        ("recbole", "ml.inter", "\ttimestamp:float", "\ttimestamp", ["'timestamp'", "no type"]),
        ("recbole", "ml.inter", "user_id:", "uid:", ["ml.inter", "Did you mean 'uid'?"]),
        ("recbole", "ml.inter", "\t10\n", "\n", ["Row 4 of", "3 values for 4"]),
        ("recbole", "ml.inter", "timestamp:", "rating:", ["ml.inter", "two columns", "rating"]),
        ("recbole", "ml.item", "unused", "a", ["Item 'a'", "ml.item"]),
        ("recbole", "ml.item", "item_id", "iid", ["ml.item", "'item_id'"]),
        ("ml_1m", "ratings.dat", "8::1::4", "8::1::x", ["ratings.dat", "Row #3", "'x'"]),
        ("ml_1m", "ratings.dat", "8::1::4", "8::1", ["ratings.dat", "Row #3", "Expected 4"]),
        ("ml_1m", "ratings.dat", "8::1::4", "::1::4", ["ratings.dat", "row 3", "user_id"]),
        ("ml_1m", "movies.dat", "2::Heat", "2 Heat", ["Line 2 of", "movies.dat"]),
        ("ml_100k", "u.data", "7\t2\t2", "7\t2.5\t2", ["u.data", "Row #2", "2.5"]),
        ("ml_100k", "u.item", "|0\n2", "|2\n2", ["Line 1 of", "u.item"]),
        ("ml_csv", "movies.csv", "genres", "genre", ["movies.csv", "lacks genres"]),
        ("ml_csv", "tags.csv", ",tag,", ",tags,", ["tags.csv", "lacks tag"]),
        ("ml_csv", "movies.csv", "2,Heat", "1,Heat", ["Item '1'", "movies.csv"]),
        ("matrix", "users.txt", "u4\n", "", ["users.txt", "names 3 for 4 rows"]),
        ("matrix", "users.txt", "u4", "u1", ["users.txt", "'u1' more than once"]),
        ("matrix", "items.csv", "c,\n", "", ["items.csv", "names 2 for 3 columns"]),
        ("matrix", "items.csv", "item_id", "iid", ["items.csv", "--item-column"]),
    ],
)
def test_damaged_texts(
    make: Make, name: str, file: str, old: str, new: str, culprits: list[str]
) -> None:
    path = make(name) / file
    content = path.read_bytes().replace(old.encode(), new.encode(), 1)
    assert content != path.read_bytes()
    path.write_bytes(content)
    with refuses(*culprits):
        read_source(path.parent)


@pytest.mark.parametrize(
    ("second", "culprits"),
    [
        (b"{broken\n", ["Line 2 of", "neither a JSON object", "{broken"]),
        (b"[1]\n", ["Line 2 of", "neither a JSON object", "[1]"]),
        (b"__import__('os')\n", ["Line 2 of", "neither"]),
        (b"{'user_id': __import__('os')}\n", ["Line 2 of", "neither"]),
        (b'{"user_id": "\xff"}\n', ["Line 2 of", "not UTF-8 at byte 13"]),
        (REVIEW.replace(b'"u"', b'"\\ud800"'), ["Line 2 of", "user_id or reviewerID"]),
        (REVIEW.replace(b'"u"', b"7"), ["Line 2 of", "user_id or reviewerID", "7"]),
        (REVIEW.replace(b'"a"', b'" "'), ["Line 2 of", "parent_asin or asin"]),
        (REVIEW.replace(b': 1, "t', b': "x", "t'), ["Line 2 of", "rating 'x'"]),
        (REVIEW.replace(b": 1}", b": 1e300}"), ["Line 2 of", "time 1e+300"]),
        (REVIEW.replace(b": 1}", b": 9223372036854775808}"), ["Line 2 of", "the time 92"]),
        (REVIEW.replace(b": 1}", b": " + b"9" * 5000 + b"}"), ["Line 2 of", "neither"]),
        (REVIEW.replace(b', "timestamp": 1', b""), ["Line 2 of", "no time"]),
        (b'{"a": ' * 100_000, ["Line 2 of"]),
        (b"{'a': " + b"-" * 100_000 + b"1}\n", ["Line 2 of", "neither"]),
        (b"{'a': '" + b"x" * LITERAL_BYTES + b"'}\n", ["Line 2 of", "too long", "Python"]),
        (b'{"a": "' + b"x" * LINE_BYTES + b'"}\n', ["Line 2 of", "longer than 4 MiB"]),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_reviews(tmp_path: Path, second: bytes, culprits: list[str], packed: bool) -> None:
    path = tmp_path / ("reviews_X.json.gz" if packed else "X.jsonl")
    content = REVIEW + second + REVIEW
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    with refuses(path.name, *culprits):
        read_source(path)


def test_broken_archives(tmp_path: Path) -> None:
    path = tmp_path / "reviews_X.json.gz"
    packed = gzip.compress(REVIEW * 1000)
    path.write_bytes(packed[:-20])
    with refuses("damaged after line", "get the file anew"):
        read_source(path)
    path.write_bytes(packed[:50] + b"\0\0\0" + packed[53:])
    with refuses("damaged after line"):
        read_source(tmp_path)
    path.write_bytes(b"")
    with refuses("no reviews"):
        read_source(path)
    path.rename(tmp_path / "reviews_X.parquet")
    with refuses("reviews_X.parquet is no Parquet file"):
        read_source(tmp_path)


def test_metadata_without_an_id_and_several_files(make: Make) -> None:
    folder = make("amazon_2018")
    (folder / "meta_Home.json.gz").write_bytes(b'{"asin": "a"}\n{"title": "x"}\n')
    with refuses("Line 2 of", "meta_Home.json.gz", "no metadata"):
        read_source(folder)
    (folder / "meta_Home.jsonl").touch()
    with refuses("meta_Home.jsonl and meta_Home.json.gz", "--items"):
        read_source(folder)
    (folder / "reviews_Home_5.json").touch()
    with refuses("Home.json.gz, reviews_Home_5.json", "name one"):
        read_source(folder)


def arrays(path: Path, **values: object) -> None:
    """Write what ``save_npz`` would, with something changed."""
    plain = {
        "format": np.array(b"csr"),
        "shape": np.array([2, 3]),
        "data": np.ones(2),
        "indices": np.array([0, 2], np.int32),
        "indptr": np.array([0, 1, 2], np.int32),
    }
    given = {name: value for name, value in (plain | values).items() if value is not None}
    np.savez_compressed(path, **given)


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        ({"indices": np.array([0, 3], np.int32)}, "no matrix"),
        ({"indices": np.array([0, -1], np.int32)}, "no matrix"),
        ({"indptr": np.array([0, 9**9, 2], np.int64)}, "no matrix"),
        ({"indptr": np.array([0, -5, 2], np.int64)}, "no matrix"),
        ({"indptr": np.array([0, 2], np.int32)}, "no matrix"),
        ({"indptr": None}, "lacks an array"),
        ({"data": np.array([{}, {}], dtype=object)}, "no matrix"),
        ({"data": np.array([1, np.nan])}, "not a finite number"),
        ({"data": np.array([1j, 1])}, "complex128"),
        ({"data": np.array(["a", "b"])}, "interactions.npz"),
        ({"data": np.zeros(2)}, "no entry other than zero"),
        ({"format": np.array(b"dia"), "offsets": np.array([0])}, "interactions.npz"),
        ({"format": np.array(b"nonsense")}, "no matrix"),
        ({"shape": np.array([2, 10**9])}, "too many without names"),
        ({"shape": np.array([-2, 3])}, "no matrix"),
        ({"padding": np.zeros(10**7)}, "more than 100 times"),
    ],
)
def test_damaged_matrices(tmp_path: Path, values: dict[str, object], culprit: str) -> None:
    arrays(tmp_path / "interactions.npz", **values)
    with refuses("interactions.npz", culprit):
        read_source(tmp_path)


def test_a_matrix_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "interactions.npz"
    sparse.save_npz(path, sparse.csr_array(np.eye(3)))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    claim = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(claim, header)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (parts | {"data.npy": claim.getvalue()}).items():
            archive.writestr(name, content)
    with refuses("interactions.npz", "no matrix"):
        read_source(tmp_path)


def test_random_damage_is_read_or_refused(layout: tuple[str, Path]) -> None:
    _, folder = layout
    draw = random.Random(1)
    files = sorted(folder.iterdir())
    whole = {path: path.read_bytes() for path in files}
    refused = 0
    for _ in range(60):
        path = draw.choice(files)
        content = bytearray(whole[path])
        for _ in range(draw.choice((1, 3))):
            place = draw.randrange(len(content))
            change = draw.choice(("set", "cut", "drop", "repeat"))
            if change == "set":
                content[place] = draw.choice((0, 9, 10, 34, 39, 58, 123, 255, draw.randrange(256)))
            elif change == "cut":
                del content[place + 1 :]
            elif change == "drop":
                del content[place : place + draw.randrange(1, 9)]
            else:
                content[place:place] = content[place : place + 30]
            if not content:
                break
        path.write_bytes(content)
        try:
            read_source(folder)
        except NegGenError as error:
            refused += str(folder) in str(error)
        path.write_bytes(whole[path])
    assert refused
