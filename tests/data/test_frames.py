"""Data sets from matrices, and back to frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import coo_matrix, csc_array, csr_matrix

from neggen import Dataset
from neggen.testing import refuses

VALUES = np.array([[5.0, 0, 2], [0, 0, 0], [0, 1, 0]])


def pairs(data: Dataset) -> list[tuple[str, str]]:
    return list(zip(data.user_ids[data.users], data.item_ids[data.items], strict=True))


@pytest.mark.parametrize("make", [csr_matrix, csc_array, coo_matrix])
def test_entries_are_interactions(make) -> None:
    data = Dataset.from_matrix(make(VALUES))
    assert data.shape == (2, 3)
    assert pairs(data) == [("0", "0"), ("0", "2"), ("2", "1")]
    assert np.array_equal(data.everything.toarray(), VALUES[[0, 2]] > 0)


def test_ids_items_and_ratings() -> None:
    items = pl.DataFrame({"item_id": ["c", "b", "a"], "title": ["C", "B", "A"]})
    data = Dataset.from_matrix(
        csr_matrix(VALUES), ["x", "y", "z"], ["a", "b", "c"], items, min_rating=2
    )
    assert pairs(data) == [("x", "a"), ("x", "c")]
    assert data.item_ids.to_list() == ["c", "b", "a"]
    assert data.item_title(2) == "A"
    numbered = Dataset.from_matrix(csr_matrix(VALUES), item_ids=np.array([7, 8, 9]))
    assert numbered.item_ids.to_list() == ["7", "8", "9"]


def test_the_matrix_stays_as_it_was() -> None:
    matrix = csr_matrix((np.ones(3), [1, 1, 0], [0, 3]), shape=(1, 2))  # with a repeated entry
    Dataset.from_matrix(matrix)
    assert matrix.nnz == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((VALUES,), ["ndarray", "csr_matrix"]),
        ((csr_matrix(VALUES), ["x"]), ["1 ids for 3 rows"]),
        ((csr_matrix(VALUES), None, ["a", "b", "a"]), ["'a' stands for two columns"]),
        ((csr_matrix(VALUES), None, ["a", "b", None]), ["item_id = None"]),
        ((csr_matrix(VALUES * np.nan),), ["not a finite number"]),
        ((csr_matrix((2, 2)),), ["no entry other than zero"]),
    ],
)
def test_refuses_what_is_no_matrix_of_interactions(arguments, words) -> None:
    with refuses(*words):
        Dataset.from_matrix(*arguments)


def test_refuses_when_no_rating_is_high_enough() -> None:
    with refuses("no entry of 6 or more"):
        Dataset.from_matrix(csr_matrix(VALUES), min_rating=6)


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_frames_make_the_data_set_again(library) -> None:
    log = pl.DataFrame(
        {
            "user_id": ["b", "a", "b"],
            "item_id": ["y", "y", "x"],
            "timestamp": [3, 1, 2],
            "part": ["train", "test", "valid"],
        }
    )
    items = pl.DataFrame({"item_id": ["x", "y", "z"], "title": ["X", None, "Z"], "n": [1, 2, 3]})
    data = Dataset.from_frames(log, items)
    frames = data.to_frames(library)
    assert isinstance(frames[0], pl.DataFrame if library == "polars" else pd.DataFrame)
    assert list(frames[0].columns) == ["user_id", "item_id", "timestamp", "part"]
    assert Dataset.from_frames(*frames).content_hash == data.content_hash


def test_features_are_rows_of_the_items() -> None:
    items = pl.DataFrame({"item_id": ["b", "a"]})
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]})
    given = np.array([[1, 2], [3, np.nan]])
    data = Dataset.from_frames(log, items, features={"image": given, "text": [[0.5], [1]]})
    assert data.features["image"].values.tolist() == [[1, 2], [0, 0]]
    assert data.features["image"].mask.tolist() == [True, False]
    assert data.features["text"].values.tolist() == [[0.5], [1]]
    assert np.isnan(given[1, 1]), "what was given stays as it is"
    assert len(data.notes) == 1


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            [[1.0]],
            "The features of image have 1 rows for 2 items; give one row an item, in the order",
        ),
        ([[1.0], [1.0, 2.0]], "The features of image are no table of numbers"),
        ([1.0, 2.0], "have shape (2,) and type float64; give numbers with one row an item."),
        ([["x"], ["y"]], "type <U1; give numbers"),
    ],
)
def test_features_that_do_not_fit_the_items(values: list, sentence: str) -> None:
    items = pl.DataFrame({"item_id": ["b", "a"]})
    with refuses(sentence):
        Dataset.from_frames(None, items, features={"image": values})
    with refuses("give the items that they are of"):
        Dataset.from_frames(items.with_columns(user_id="item_id"), features={"image": values})
