"""The contract of recommenders."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import torch

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

    def model(self) -> Recommender:
        """Return a new, unfitted model; choose settings that fit in a second or two."""
        raise NotImplementedError

    def data(self) -> Dataset:
        """Return what to fit on; override it for a model that needs more than this."""
        return checkerboard()

    def fitted(self) -> tuple[Recommender, Dataset]:
        """Return a fitted model and its data."""
        data = self.data()
        return self.model().fit(data), data

    def test_fit_returns_the_model_itself(self) -> None:
        """``Model().fit(data).recommend(...)`` works in one line."""
        model = self.model()
        assert model.fit(self.data()) is model

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

    def test_a_second_fit_equals_the_first(self) -> None:
        """Same data and settings, same scores, bit for bit; the global generators do not matter."""
        torch.manual_seed(1)
        first, data = self.fitted()
        torch.manual_seed(2)
        second, _ = self.fitted()
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
