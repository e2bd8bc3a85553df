"""Ids become positions slice by slice, in the order of the rows; repeats go, whatever their ids."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neggen.data import indexing
from neggen.data.indexing import positions
from neggen.data.tables import without_repeats

names = st.text("abcé ", min_size=1, max_size=3)


@settings(deadline=None)
@given(st.lists(names, max_size=30), st.lists(names, unique=True), st.integers(1, 40))
def test_positions_are_those_of_a_dictionary(
    ids: list[str], vocabulary: list[str], rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "ROWS_AT_ONCE", rows)
        found = positions(pl.Series(ids, dtype=pl.String), pl.Series(vocabulary, dtype=pl.String))
    index = {name: position for position, name in enumerate(vocabulary)}
    assert found.dtype == np.int32
    assert found.tolist() == [index.get(name, -1) for name in ids]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=40))
def test_the_first_row_of_every_pair_is_kept(pairs: list[tuple[int, int]]) -> None:
    schema = {"user_id": pl.Int32, "item_id": pl.Int32}
    log = pl.DataFrame(pairs, schema=schema, orient="row").with_row_index("row")
    notes: list[str] = []
    kept = without_repeats(log, notes)
    first = {pair: row for row, pair in reversed(list(enumerate(pairs)))}
    assert kept["row"].to_list() == sorted(first.values())
    dropped = len(pairs) - len(first)
    assert notes == (
        [f"Dropped {dropped} repeated interactions, keeping the first of each user and item."]
        if dropped
        else []
    )


def test_pairs_of_many_users_and_items_are_not_confused() -> None:
    most = 2**31 - 1
    pairs = {"user_id": [0, 1, most, most, 1], "item_id": [most, 0, most, most - 1, 0]}
    log = pl.DataFrame(pairs, schema={"user_id": pl.Int32, "item_id": pl.Int32})
    assert without_repeats(log, []).equals(log[:4])
