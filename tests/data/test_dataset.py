"""The data set itself: cores, matrices and what its hash notices."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neggen.config import SplitConfig
from neggen.data.dataset import Dataset, index_of
from neggen.data.vectors import Features, ItemGraph
from neggen.errors import NegGenError

pairs = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=60)


def dataset(rows: list[tuple[int, int]], **columns: list[object]) -> Dataset:
    users, items = zip(*rows, strict=True)
    log = pl.DataFrame({"user_id": users, "item_id": items, **columns})
    table = pl.DataFrame({"item_id": range(9), "title": [f"item {name}" for name in range(9)]})
    return Dataset.from_frames(log, table)


def external(data: Dataset) -> set[tuple[str, str]]:
    return set(zip(data.user_ids[data.users], data.item_ids[data.items], strict=True))


@settings(deadline=None)
@given(pairs, st.integers(1, 4))
def test_core_is_the_largest_with_enough(rows: list[tuple[int, int]], k: int) -> None:
    data = dataset(rows)
    expected = external(data)
    while True:
        users = [user for user, _ in expected]
        items = [item for _, item in expected]
        enough = {(u, i) for u, i in expected if users.count(u) >= k and items.count(i) >= k}
        if enough == expected:
            break
        expected = enough
    if not expected:
        with pytest.raises(NegGenError, match=f"{k}-core"):
            data.k_core(k)
        return
    core = data.k_core(k)
    assert external(core) == expected
    assert set(core.user_ids) == {user for user, _ in expected}
    assert core.item_table["item_id"].to_list() == core.item_ids.to_list()
    assert core.item_table["title"].to_list() == [f"item {name}" for name in core.item_ids]


def test_core_carries_features_test_sets_time_and_labels() -> None:
    data = dataset(
        [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)],
        time=[5, 6, 7, 8, 9],
        part=["train", "valid", "test", "train", "test"],
    )
    values = np.arange(9, dtype=np.float32)[:, None]
    data = data.replace(
        features={"image": Features(values, values[:, 0] > 0)},
        test_sets={"later": np.array([[0, 1], [0, 2], [2, 1]], dtype=np.int32)},
    )
    core = data.k_core(2)
    assert core.time is not None
    assert core.given_parts is not None
    assert core.time.tolist() == [5, 6, 7, 8]
    assert core.given_parts.tolist() == [0, 1, 2, 0]
    assert core.features["image"].values.tolist() == [[0], [1]]
    assert core.features["image"].mask.tolist() == [False, True]
    assert core.test_sets["later"].tolist() == [[0, 1]]


def ring(items: int, cosine: float = 0.9) -> ItemGraph:
    """Return a graph in which every item is like the next."""
    neighbors = np.stack([np.arange(items), np.roll(np.arange(items), -1)], axis=1)
    cosines = np.tile([1, cosine], (items, 1))
    return ItemGraph(neighbors.astype(np.int32), cosines.astype(np.float32))


@settings(deadline=None)
@given(pairs, st.integers(1, 4), st.integers(0, 99))
def test_at_most_so_many_of_every_user(rows: list[tuple[int, int]], n: int, seed: int) -> None:
    data = dataset(rows)
    before, after = external(data), external(data.at_most(n, seed))
    assert after <= before
    for user in data.user_ids:
        had, has = (sum(u == user for u, _ in kept) for kept in (before, after))
        assert has == min(had, n)
    assert external(data.at_most(n, seed)) == after


def test_what_is_kept_at_most_is_drawn_by_seed_and_leaves_unused_items_out() -> None:
    data = dataset([(user, item) for user in range(4) for item in range(9)])
    drawn = {frozenset(external(data.at_most(2, seed))) for seed in range(5)}
    assert len(drawn) == 5
    sparse = data.at_most(1)
    assert set(sparse.item_ids) == {item for _, item in external(sparse)}
    with pytest.raises(NegGenError, match="at most 0 a user"):
        data.at_most(0)


@settings(deadline=None)
@given(pairs)
def test_matrices_hold_the_interactions(rows: list[tuple[int, int]]) -> None:
    data = dataset(rows)
    dense = data.everything.toarray()
    assert dense.shape == data.shape == (len({user for user, _ in rows}), 9)
    expected = {(str(user), str(item)) for user, item in rows}
    found = {(data.user_ids[u], data.item_ids[i]) for u, i in np.argwhere(dense).tolist()}
    assert found == expected
    assert set(np.unique(dense)) <= {0.0, 1.0}


def test_parts_divide_everything() -> None:
    data = dataset([(user, item) for user in range(5) for item in range(9)]).split()
    total = data.train + data.valid + data.test
    assert (total != data.everything).nnz == 0
    assert (data.train.nnz, data.valid.nnz, data.test.nnz) == (35, 5, 5)


def test_a_part_that_is_not_there() -> None:
    data = dataset([(0, 0)])
    with pytest.raises(NegGenError, match="not split"):
        _ = data.train
    with pytest.raises(NegGenError, match="Did you mean 'train'"):
        data.matrix("trian")


def test_named_test_sets_are_matrices() -> None:
    data = dataset([(0, 0), (1, 1)]).replace(test_sets={"later": np.array([[1, 8]], np.int32)})
    assert data.matrix("later")[1, 8] == 1
    assert data.matrix("later").nnz == 1


def test_the_hash_notices_every_kind_of_content() -> None:
    rows = [(0, 0), (0, 1)]
    values = np.ones((9, 2), dtype=np.float32)
    mask = np.ones(9, dtype=bool)
    given = dataset(rows).replace(features={"image": Features(values, mask)})
    variants = [
        dataset(rows),
        dataset([(0, 0), (0, 2)]),
        dataset([(0, 0), (1, 1)]),
        dataset([(0, 0), (9, 1)]),
        dataset(rows, time=[1, 2]),
        dataset(rows, time=[1, 3]),
        dataset(rows, part=["train", "test"]),
        given,
        given.replace(features={"text": Features(values, mask)}),
        given.replace(features={"image": Features(values * 2, mask)}),
        given.replace(graphs={"image": ring(9)}),
        given.replace(graphs={"text": ring(9)}),
        given.replace(graphs={"image": ring(9, cosine=0.5)}),
        given.replace(test_sets={"later": np.array([[0, 3]], np.int32)}),
        dataset(rows).replace(item_table=dataset(rows).item_table.with_columns(title=pl.lit("x"))),
    ]
    assert len({variant.content_hash for variant in variants}) == len(variants)


def test_data_without_graphs_keep_the_hash_that_their_splits_and_runs_name() -> None:
    values = np.arange(18, dtype=np.float32).reshape(9, 2)
    data = dataset([(0, 0), (0, 1)], time=[1, 2], part=["train", "test"]).replace(
        features={"image": Features(values, values[:, 0] > 0)},
        test_sets={"later": np.array([[0, 3]], np.int32)},
    )
    # Computed by the version before there were graphs.
    assert data.content_hash == ("13d97fdc8e79a454924773fe932ebb2a4ce46b053c5e150b8792fab25e76a9a6")


def test_core_drops_neighbors_that_are_gone() -> None:
    neighbors = np.array([[0, 2, 1], [1, 0, 2], [2, 1, -1], [-1, -1, -1], [4, 3, 0]], np.int32)
    cosines = np.array([[1, 0.5, 0.4], [1, 0.4, 0.3], [1, 0.3, 0], [0, 0, 0], [1, 0.2, 0.1]])
    rows = [(user, item) for user in range(3) for item in (0, 2, 3)] + [(0, 1), (1, 4)]
    log = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    data = Dataset.from_frames(log, pl.DataFrame({"item_id": range(5)}))
    core = data.replace(graphs={"text": ItemGraph(neighbors, cosines.astype(np.float32))}).k_core(2)
    assert core.item_ids.to_list() == ["0", "2", "3"]
    graph = core.graphs["text"]
    assert graph.neighbors.tolist() == [[0, 1, -1], [1, -1, -1], [-1, -1, -1]]
    assert np.allclose(graph.cosines, [[1, 0.5, 0], [1, 0, 0], [0, 0, 0]])
    assert (graph.neighbors.dtype, graph.cosines.dtype) == (np.int32, np.float32)
    assert graph.mask.tolist() == [True, True, False]


def test_the_hash_does_not_depend_on_the_split() -> None:
    data = dataset([(0, item) for item in range(9)])
    assert data.content_hash == data.split().content_hash == data.split(seed=3).content_hash


def test_index_of_names_the_stranger() -> None:
    assert index_of(["b", "a"], {"a": 0, "b": 1}, "user").tolist() == [1, 0]
    with pytest.raises(NegGenError, match=r"no user 'alise'. Did you mean 'alice'"):
        index_of(["alise"], {"alice": 0}, "user")


def test_it_says_how_large_it_is() -> None:
    frame = pl.DataFrame({"user_id": [1] * 3 + [2] * 3, "item_id": [1, 2, 3] * 2})
    data = Dataset.from_frames(frame)
    assert repr(data) == "Dataset(2 users, 3 items, 6 interactions)"
    assert repr(data.split()) == "Dataset(2 users, 3 items, 6 interactions, split random-0)"


def test_settings_of_a_split_are_keywords() -> None:
    data = dataset([(u, i) for u in range(6) for i in range(9)])
    wide = data.split("cold-items", seed=3, test_share=0.3)
    assert wide.split_config == SplitConfig(kind="cold-items", seed=3, test_share=0.3)
    again = data.split(SplitConfig(kind="cold-items", test_share=0.3), seed=3)
    assert (again.parts == wide.parts).all()
    with pytest.raises(NegGenError, match=r"'sed' is not a setting of SplitConfig"):
        data.split(sed=3)
