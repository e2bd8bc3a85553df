"""The contract of recommenders."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F

from neggen.data.dataset import Dataset
from neggen.data.tables import PARTS
from neggen.models.base import Recommender
from neggen.testing.checkerboard import checkerboard
from neggen.testing.refusal import refuses
from neggen.workspace import read_toml, write_toml

PLAIN_FILES = {".toml", ".json", ".parquet", ".safetensors"}
"""File types that hold data only: reading one cannot run code."""


class RecommenderContract:
    """What holds for every recommender. Subclass it and provide :meth:`model`."""

    learns: ClassVar[bool] = True
    """Whether the model must find the two groups; a model without personal taste says False."""
    _fitted: ClassVar[tuple[Recommender, Dataset]]
    by_history: ClassVar[bool] = False
    """Whether a user is their training items and nothing else, as for EASE: scores are then the
    same if these are given as a history."""

    def model(self) -> Recommender:
        """Return a new, unfitted model; choose settings that fit in a second or two."""
        raise NotImplementedError

    def data(self) -> Dataset:
        """Return what to fit on; override it for a model that needs more than this."""
        return checkerboard()

    def fitted(self) -> tuple[Recommender, Dataset]:
        """Return a fitted model and its data, which are made once for all tests of a class."""
        cls = type(self)
        if "_fitted" not in vars(cls):
            data = self.data()
            cls._fitted = self.model().fit(data), data
        return cls._fitted

    def test_fit_returns_the_model_itself(self) -> None:
        """``Model().fit(data).recommend(...)`` works in one line."""
        model, data = self.model(), self.data()
        assert model.fit(data) is model
        type(self)._fitted = model, data  # which the other tests take

    def test_recommends_unseen_items_best_first(self) -> None:
        """Users keep their order; ranks count from 1; nobody gets what they had."""
        model, data = self.fitted()
        users = data.user_ids.reverse().to_list()
        frame = model.recommend(users, k=7)
        assert frame.columns == ["user_id", "rank", "item_id", "score"]
        assert frame["user_id"].to_list() == [user for user in users for _ in range(7)]
        assert frame["rank"].to_list() == list(range(1, 8)) * len(users)
        assert set(frame["item_id"]) <= set(data.item_ids)
        used = set(zip(data.user_ids[data.users], data.item_ids[data.items], strict=True))
        for (user,), own in frame.group_by("user_id"):
            assert not {(user, item) for item in own["item_id"]} & used
            assert own["item_id"].n_unique() == 7
            assert own["score"].is_sorted(descending=True)

    def test_k_may_exceed_the_catalog(self) -> None:
        """A longer list than there are items holds each item once."""
        model, data = self.fitted()
        user = data.user_ids[0]
        everything = model.recommend([user], k=10_000, exclude_seen=False)
        assert sorted(everything["item_id"]) == sorted(data.item_ids)
        unseen = len(data.item_ids) - int(data.everything[0].nnz)
        assert len(model.recommend([user], k=10_000)) == unseen

    def test_recommendations_carry_the_scores(self) -> None:
        """``recommend`` and ``score`` tell the same numbers, and asking changes nothing."""
        model, data = self.fitted()
        user = data.user_ids[3]
        before = model.score([user])
        best = model.recommend([user], k=5)
        joined = best.join(before, on="item_id", how="left")
        assert np.allclose(joined["score"], joined[user], atol=1e-5)
        assert model.score([user]).equals(before)
        assert model.recommend([], k=5).is_empty()

    def test_refuses_what_it_cannot_answer(self) -> None:
        """An unknown user is answered with the nearest name; k = 0 and no fit with a sentence."""
        model, _ = self.fitted()
        with refuses("'user-7'", "Did you mean 'user-"):
            model.recommend(["user-7"])
        with refuses("k = 0"):
            model.recommend(["user-07"], k=0)
        with refuses("not fitted"):
            self.model().recommend(["user-07"])
        with refuses("not fitted"):
            self.model().score(["user-07"])

    def test_ranks_what_it_is_told_to(self) -> None:
        """Candidates and exclusions shorten the list and change nothing else; typos are named."""
        model, data = self.fitted()
        user, items = data.user_ids[3], data.item_ids
        whole = model.recommend([user], k=100)
        few, none = items.gather_every(3).to_list(), items.gather_every(4).to_list()
        found = model.recommend([user], k=100, candidates=few, exclude=none)
        kept = whole.filter(pl.col("item_id").is_in(sorted(set(few) - set(none))))
        assert found.drop("rank").sort("item_id").equals(kept.drop("rank").sort("item_id"))
        assert found["rank"].to_list() == list(range(1, len(kept) + 1))
        assert found["score"].is_sorted(descending=True)
        assert model.recommend([user], candidates=[]).is_empty()
        with refuses("no item 'item-7'", "Did you mean 'item-"):
            model.recommend([user], candidates=["item-7"])
        with refuses("no item 'item-7'", "Did you mean 'item-"):
            model.recommend([user], exclude=["item-7"])

    def test_lists_can_be_spread(self) -> None:
        """Diversity makes a list's items less alike, and leaves scores and exclusions alone."""
        model, data = self.fitted()
        users, out = data.user_ids.to_list(), data.item_ids[:5].to_list()
        with refuses("diversity = 1.5"):
            model.recommend(users, diversity=1.5)
        plain = model.recommend(users, 6, exclude=out)
        assert model.recommend(users, 6, exclude=out, diversity=0).equals(plain)
        if not _has_vectors(model):
            with refuses("no vectors of items"):
                model.recommend(users, diversity=0.5)
            return
        wide = model.recommend(users, 6, exclude=out, diversity=1)
        assert wide["rank"].to_list() == list(range(1, 7)) * len(users)
        assert not set(wide["item_id"]) & set(out)
        assert wide.group_by("user_id").agg(pl.col("item_id").n_unique())["item_id"].min() == 6
        used = set(zip(data.user_ids[data.users], data.item_ids[data.items], strict=True))
        assert not set(wide.select("user_id", "item_id").iter_rows()) & used
        first = pl.col("rank") == 1
        assert wide.filter(first)["score"].equals(plain.filter(first)["score"])
        scores = model.score(users).unpivot(index="item_id", variable_name="user_id")
        joined = wide.join(scores, on=["user_id", "item_id"], how="left")
        assert np.allclose(joined["score"], joined["value"], atol=1e-5)
        assert _likeness(model, wide, data) < _likeness(model, plain, data)
        everything = model.recommend(users[:1], 1000, diversity=0.5)
        unseen = model.recommend(users[:1], 1000)
        assert sorted(everything["item_id"]) == sorted(unseen["item_id"])

    def test_recommends_by_a_history(self) -> None:
        """People the model does not know get what those with their history would."""
        model, data = self.fitted()
        rows = [data.train[user].indices for user in range(data.shape[0])]
        histories = {f"new {u}": data.item_ids[row].to_list() for u, row in enumerate(rows)}
        found = model.recommend(histories, 5)
        assert found["user_id"].to_list() == [name for name in histories for _ in range(5)]
        pairs = {(name, item) for name, items in histories.items() for item in items}
        assert not set(found.select("user_id", "item_id").iter_rows()) & pairs
        if self.learns:
            own = found["user_id"].str.slice(4).cast(pl.Int64) % 2
            group = found["item_id"].str.slice(-2).cast(pl.Int64) % 2
            assert (own == group).mean() > 0.95  # type: ignore[operator]
        if self.by_history:
            known = model.score_index(torch.arange(data.shape[0]))
            assert torch.allclose(model.score_histories(data.train), known, atol=1e-5)
        history = histories["new 0"]
        alone = model.recommend({"x": [*history, *history]}, 5)
        assert alone["item_id"].equals(found["item_id"][:5])
        assert np.allclose(alone["score"], found["score"][:5], atol=1e-5)
        popular = np.bincount(data.items, minlength=data.shape[1])
        nothing = model.recommend({"x": [], "y": history}, 5)
        assert nothing["score"][:5].to_list() == sorted(popular, reverse=True)[:5]
        assert nothing["item_id"][5:].equals(alone["item_id"])
        assert model.recommend({}).is_empty()
        with refuses("no item 'item-7'", "Did you mean 'item-"):
            model.recommend({"x": ["item-7"]})
        with refuses("one string"):
            model.recommend({"x": "item-07"})

    def test_finds_like_items(self) -> None:
        """Never the item itself, most alike first; a model without vectors says so."""
        model, data = self.fitted()
        items = data.item_ids.to_list()
        if not _has_vectors(model):
            with refuses("no vectors of items"):
                model.similar_items(items[:1])
            return
        found = model.similar_items(items, 4)
        assert found.columns == ["item_id", "rank", "similar_item_id", "score"]
        assert found["item_id"].to_list() == [item for item in items for _ in range(4)]
        assert found["rank"].to_list() == [1, 2, 3, 4] * len(items)
        assert (found["item_id"] != found["similar_item_id"]).all()
        assert found["score"].is_between(-1.0001, 1.0001).all()
        for _, own in found.group_by("item_id"):
            assert own["score"].is_sorted(descending=True)
            assert own["similar_item_id"].n_unique() == 4
        if self.learns:
            one, other = (
                found[name].str.slice(-2).cast(pl.Int64) % 2
                for name in ("item_id", "similar_item_id")
            )
            assert (one == other).mean() > 0.9  # type: ignore[operator]
        few = model.similar_items(items[:2], 100, candidates=items[:6], exclude=items[5:])
        assert sorted(few["similar_item_id"]) == sorted([*items[1:5], items[0], *items[2:5]])
        with refuses("no item 'item-7'", "Did you mean 'item-"):
            model.similar_items(["item-7"])
        with refuses("k = 0"):
            model.similar_items(items[:1], 0)

    def test_a_second_fit_equals_the_first(self) -> None:
        """Same data and settings, same scores, bit for bit; the global generators do not matter."""
        first, data = self.fitted()
        torch.manual_seed(2)
        second = self.model().fit(data)
        _same(first, second, data)
        _same(first.fit(data), second, data)

    def test_never_looks_at_the_test_part(self) -> None:
        """Other test items leave every score as it was."""
        model, data = self.fitted()
        items, tested = data.items.copy(), data.parts == PARTS.index("test")
        for row in np.flatnonzero(tested):
            unused = np.flatnonzero(data.everything[data.users[row]].toarray().ravel() == 0)
            items[row] = unused[row % len(unused)]
        other = self.model().fit(data.replace(items=items))
        users = data.user_ids.to_list()
        assert other.score(users).equals(model.score(users))

    def test_finds_the_planted_groups(self) -> None:
        """Nearly everything recommended comes from the user's own group."""
        if not self.learns:
            return
        model, data = self.fitted()
        frame = model.recommend(data.user_ids.to_list(), k=5)
        user, item = (frame[name].str.slice(-2).cast(pl.Int64) for name in ("user_id", "item_id"))
        assert (user % 2 == item % 2).mean() > 0.95  # type: ignore[operator]

    def test_a_saved_model_is_the_same_model(self, tmp_path: Path) -> None:
        """Scores and recommendations survive a round trip, and files hold data only."""
        model, data = self.fitted()
        with refuses("not fitted"):
            self.model().save(tmp_path / "unfitted")
        model.save(tmp_path / "model")
        _same(type(model).load(tmp_path / "model"), model, data)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files
        assert {path.suffix for path in files} <= PLAIN_FILES

    def test_refuses_folders_that_are_not_its_own(self, tmp_path: Path) -> None:
        """An empty folder, another model's, an incomplete and a damaged one end in a sentence."""
        model, _ = self.fitted()
        folder = tmp_path / "model"
        with refuses(str(folder)):
            type(model).load(folder)
        model.save(folder)
        weights = (folder / "model.safetensors").read_bytes()
        for damaged in (b"", weights[:20], weights[: len(weights) // 2], b"\xff" * 64):
            (folder / "model.safetensors").write_bytes(damaged)
            with refuses("model.safetensors", "damaged"):
                type(model).load(folder)
        (folder / "model.safetensors").write_bytes(weights)
        config = read_toml(folder / "config.toml")
        write_toml(folder / "config.toml", {**config, "model": "another"})
        with refuses("another", type(model).name):
            type(model).load(folder)
        write_toml(folder / "config.toml", config)
        (folder / "users.parquet").unlink()
        with refuses(str(folder)):
            type(model).load(folder)


def _same(one: Recommender, other: Recommender, data: Dataset) -> None:
    users = data.user_ids.to_list()
    assert one.score(users).equals(other.score(users))
    assert one.recommend(users, k=10).equals(other.recommend(users, k=10))
    histories = {"x": data.item_ids[:3].to_list(), "y": data.item_ids[5:6].to_list()}
    assert one.recommend(histories, k=10).equals(other.recommend(histories, k=10))
    if _has_vectors(one):
        items = data.item_ids.to_list()
        assert one.similar_items(items).equals(other.similar_items(items))


def _has_vectors(model: Recommender) -> bool:
    return type(model).item_vectors is not Recommender.item_vectors


def _likeness(model: Recommender, lists: pl.DataFrame, data: Dataset) -> float:
    """Return the mean cosine of two items of the same list."""
    vectors = F.normalize(model.item_vectors(torch.arange(data.shape[1])), dim=1)
    places = {item: place for place, item in enumerate(data.item_ids)}
    total = 0.0
    for _, own in lists.group_by("user_id"):
        rows = vectors[[places[item] for item in own["item_id"]]]
        total += float((rows @ rows.T).mean())
    return total
