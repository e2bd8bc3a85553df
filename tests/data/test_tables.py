"""Every mistake in the tables ends in a sentence that names the culprit."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest

from neggen.data.attributes import texts_of
from neggen.data.dataset import Dataset
from neggen.errors import NegGenError

LOG = pl.DataFrame({"user_id": ["u1", "u1", "u2"], "item_id": ["a", "b", "a"]})
ITEMS = pl.DataFrame({"item_id": ["a", "b"], "title": ["Apple", "Bread"]})


def refusal(log: object = LOG, items: object = ITEMS, **options: object) -> str:
    with pytest.raises(NegGenError) as caught:
        Dataset.from_frames(log, items, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("log", "culprits"),
    [
        (LOG.rename({"user_id": "userID"}), ["'user_id'", "Did you mean 'userID'?"]),
        (LOG.rename({"item_id": "asin"}), ["'item_id'", "Did you mean 'asin'?"]),
        (LOG.rename({"item_id": "itm_id"}), ["'item_id'", "Did you mean 'itm_id'?"]),
        (LOG.clear(), ["no rows"]),
        (LOG.with_columns(user_id=pl.Series(["u1", None, "u2"])), ["row 2", "user_id"]),
        (LOG.with_columns(item_id=pl.Series(["a", "b", " "])), ["row 3", "item_id", "' '"]),
        (LOG.with_columns(user_id=pl.Series([1.0, float("nan"), 2.0])), ["row 2", "nan"]),
        (LOG.with_columns(user_id=pl.Series([1.0, 2.0, 2.5])), ["row 3", "2.5"]),
        (LOG.with_columns(user_id=pl.Series([2.0**60, 2.0, 3.0])), ["1.15", "as text"]),
        (LOG.with_columns(user_id=pl.Series([True, False, True])), ["'user_id'", "Boolean"]),
        (
            LOG.with_columns(item_id=pl.Series(["a", "x", "x"])),
            ["2 inter", "'x'", "row 2", "--drop"],
        ),
        (LOG.with_columns(part=pl.Series(["train", "val", "test"])), ["row 2", "'val'"]),
        (LOG.with_columns(part=pl.Series(["train", "test", None])), ["row 3", "None"]),
        (LOG.with_columns(timestamp=pl.Series(["1", "2", "soon"])), ["row 3", "'soon'"]),
        (LOG.with_columns(time=pl.Series([1, None, 3])), ["row 2", "time", "None"]),
        (LOG.with_columns(time=pl.Series([1.0, 2.0, float("nan")])), ["row 3", "time", "nan"]),
        (LOG.with_columns(time=pl.Series([[1], [2], [3]])), ["'time'", "List"]),
        ([("u1", "a")], ["list", "polars or pandas"]),
        (pd.DataFrame({"user_id": [1, "a"], "item_id": ["a", "b"]}), ["'user_id'", "astype(str)"]),
    ],
)
def test_bad_interactions(log: object, culprits: list[str]) -> None:
    message = refusal(log)
    for culprit in culprits:
        assert culprit in message


def test_repeated_items_are_named_with_their_rows() -> None:
    message = refusal(items=pl.DataFrame({"item_id": ["a", "b", "a"]}))
    assert "'a'" in message
    assert "1, 3" in message


def test_missing_item_column_is_looked_for_in_the_items() -> None:
    assert "The items have no column 'item_id'" in refusal(items=ITEMS.rename({"item_id": "item"}))


def test_two_candidates_for_a_column() -> None:
    both = LOG.with_columns(uid=pl.Series(["x", "y", "z"]))
    assert "both 'uid' and 'user_id'" in refusal(both, user_column="uid")


def test_names_are_used_in_messages() -> None:
    assert "x.csv" in refusal(LOG.clear(), names=("The interactions in x.csv", "The items"))


def test_unknown_items_can_be_dropped() -> None:
    log = LOG.with_columns(item_id=pl.Series(["a", "x", "b"]))
    data = Dataset.from_frames(log, ITEMS, drop_unknown=True)
    assert len(data.users) == 2
    assert "Dropped 1 interactions" in data.notes[0]
    assert "'x'" in data.notes[0]
    assert "No item" in refusal(
        LOG, ITEMS[:0].vstack(ITEMS[:1].with_columns(item_id=pl.lit("z"))), drop_unknown=True
    )


def test_repeats_collapse_to_the_first() -> None:
    log = pl.concat([LOG, LOG[:2]]).with_columns(time=pl.Series([1, 2, 3, 4, 5]))
    data = Dataset.from_frames(log, ITEMS)
    assert data.time is not None
    assert data.time.tolist() == [1, 2, 3]
    assert data.notes == (
        "Dropped 2 repeated interactions, keeping the first of each user and item.",
    )


@pytest.mark.parametrize("values", [[7, 8], [7.0, 8.0], ["7", "8"]])
def test_ids_become_text(values: list[object]) -> None:
    data = Dataset.from_frames(pl.DataFrame({"user_id": values, "item_id": values}))
    assert data.user_ids.to_list() == ["7", "8"]
    assert data.item_ids.to_list() == ["7", "8"]


def test_leading_zeros_stay() -> None:
    data = Dataset.from_frames(pl.DataFrame({"user_id": ["007"], "item_id": ["01"]}))
    assert (data.user_ids[0], data.item_ids[0]) == ("007", "01")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["3", "1", "2"], [3, 1, 2]),
        (["0.5", "1", "2"], [0.5, 1.0, 2.0]),
        (["1970-01-01", "1970-01-02", "1970-01-03"], [0, 86400_000_000, 2 * 86400_000_000]),
        (
            ["1970-01-01T00:00:00Z", "1970-01-01T02:00:01+02:00", "1970-01-01T00:00:02Z"],
            [0, 1_000_000, 2_000_000],
        ),
        (
            [dt.date(1970, 1, 1), dt.date(1970, 1, 2), dt.date(1970, 1, 3)],
            [0, 86400_000_000, 2 * 86400_000_000],
        ),
    ],
)
def test_times_are_read(times: list[object], expected: list[float]) -> None:
    data = Dataset.from_frames(LOG.with_columns(timestamp=pl.Series(times)), ITEMS)
    assert data.time is not None
    numbers = data.time.astype(np.int64) if data.time.dtype.kind == "M" else data.time
    assert numbers.tolist() == expected


def test_position_counts_as_time_and_other_columns_are_noted() -> None:
    log = LOG.with_columns(position=pl.Series([2, 1, 0]), rating=pl.Series([5, 5, 1]))
    data = Dataset.from_frames(log, ITEMS)
    assert data.time is not None
    assert data.time.tolist() == [2, 1, 0]
    assert data.notes == ("Not used from the interactions: rating.",)


def test_pandas_and_polars_give_equal_hashes() -> None:
    log = LOG.with_columns(timestamp=pl.Series([3.0, 1.0, 2.0]))
    items = ITEMS.with_columns(price=pl.Series([1.5, None]), stock=pl.Series([1, 2]))
    one = Dataset.from_frames(log, items)
    other = Dataset.from_frames(log.to_pandas(), items.to_pandas())
    assert one.content_hash == other.content_hash
    assert one.item_text(1) == other.item_text(1) == "title: Bread\nstock: 2"


def test_pandas_index_and_repeated_columns() -> None:
    frame = LOG.to_pandas()
    assert "no column 'user_id'" in refusal(frame.set_index("user_id"))
    frame.columns = pd.Index(["user_id", "user_id"])
    assert "two columns named 'user_id'" in refusal(frame)


def test_text_leaves_out_ids_links_and_binary_data() -> None:
    items = pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "asin": ["B0", "B1"],
            "brand_id": [1, 2],
            "imUrl": ["x", "y"],
            "image_url_large": ["x", "y"],
            "thumbnail": [b"\xff", b""],
            "hourly rate": [1.0, float("nan")],
            "genres": [["Drama", None, "War"], []],
            "paths": [[["Home", "Tea"]], []],
        }
    )
    data = Dataset.from_frames(LOG, items)
    text = "hourly rate: 1.0\ngenres: Drama, War\npaths: ['Home', 'Tea']"
    assert data.item_text(0) == text
    assert list(texts_of(data.item_table)) == [data.item_text(0), None]
    assert data.item_text(1) is None
    assert "thumbnail (binary data)" in data.notes[0]
