"""What the base class does, beyond the contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.sparse import csr_matrix

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.evaluation import ranking
from neggen.models.base import FitContext
from neggen.models.ease import EASE
from neggen.models.lightgcn import LightGCN
from neggen.models.neggen import NegGen
from neggen.models.popularity import Popularity
from neggen.models.tensors import pack_csr, unpack_csr
from neggen.testing import checkerboard, refuses
from neggen.workspace import read_toml, write_toml


def test_memory_bound_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = checkerboard()
    model, users = EASE().fit(data), data.user_ids.to_list()
    whole = model.recommend(users, k=4)
    monkeypatch.setattr(ranking, "CHUNK_SCORES", 3 * 40)
    assert model.recommend(users, k=4).drop("score").equals(whole.drop("score"))


def test_popularity_counts_training_interactions() -> None:
    data = checkerboard()
    model = Popularity().fit(data)
    counts = data.train.toarray().sum(0)
    assert model.score(["user-00"])["user-00"].to_list() == counts.tolist()


def test_unsplit_data_get_the_default_split() -> None:
    data = checkerboard()
    unsplit = data.replace(parts=None, split_config=None)
    user = data.user_ids[0]
    assert EASE(seed=0).fit(unsplit).score([user]).equals(EASE().fit(data).score([user]))
    assert not EASE(seed=1).fit(unsplit).score([user]).equals(EASE().fit(data).score([user]))


def test_a_catalog_shorter_than_the_validation_list_can_be_fitted() -> None:
    log = [(f"u{u}", f"i{i}") for u in range(8) for i in range(6) if (u + i) % 3]
    data = Dataset.from_frames(pl.DataFrame(log, schema=["user_id", "item_id"], orient="row"))
    model = LightGCN(epochs=2, dim=4).fit(data)
    assert len(model.recommend(["u0"], exclude_seen=False)) == 6


def test_refit_on_other_data_forgets_the_old_ids() -> None:
    data = checkerboard()
    model = Popularity().fit(data)
    model.recommend(["user-00"])
    log = pl.DataFrame([(f"u{u}", f"i{i}") for u in range(3) for i in range(4)], orient="row")
    other = Dataset.from_frames(log.rename({"column_0": "user_id", "column_1": "item_id"}))
    assert model.fit(other).recommend(["u1"], exclude_seen=False)["item_id"][0].startswith("i")
    with pytest.raises(NegGenError, match="no user 'user-00'"):
        model.recommend(["user-00"])


def test_wrong_settings_are_refused_on_construction() -> None:
    with pytest.raises(NegGenError, match=r"'layer' is not a setting .* Did you mean 'layers'"):
        LightGCN(layer=2)
    with pytest.raises(NegGenError, match=r"EASEConfig.regularization = 0"):
        EASE(regularization=0)
    for value in (float("inf"), float("nan")):
        with refuses(f"EASEConfig.regularization = {value} is not allowed"):
            EASE(regularization=value)
        with refuses("NegGenConfig.effect_weights", "is not allowed"):
            NegGen(effect_weights=(0.5, value))
    with pytest.raises(NegGenError, match=r"EASEConfig.seed = -1"):
        EASE(seed=-1)
    with pytest.raises(NegGenError, match=r"EASEConfig.device = 'gpu'"):
        EASE(device="gpu")
    with pytest.raises(NegGenError, match=r"The device 'cuda:99' cannot be used here"):
        EASE(device="cuda:99")


def test_nothing_to_train_on_is_refused() -> None:
    data = checkerboard()
    empty = data.replace(parts=np.full(len(data.items), 1, dtype=np.uint8))
    with pytest.raises(NegGenError, match="training part has no interactions"):
        Popularity().fit(empty)


def test_fit_reports_and_checkpoints_by_phase(tmp_path: Path) -> None:
    seen = []
    context = FitContext(tmp_path, lambda phase, log: seen.append((phase, log.epoch)))
    LightGCN(dim=4, epochs=2).fit(checkerboard(), context)
    assert seen == [("lightgcn", 0), ("lightgcn", 1), ("lightgcn", 2)]
    assert (tmp_path / "lightgcn.safetensors").is_file()


def test_csr_survives_packing() -> None:
    dense = (np.random.default_rng(0).random((5, 7)) < 0.3).astype(np.float32)
    dense[2], dense[:, 6] = 0, 0
    tensors = pack_csr("x", csr_matrix(dense))
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    assert np.array_equal(unpack_csr("x", tensors, 7).toarray(), dense)


@pytest.mark.parametrize("name", ["users.parquet", "items.parquet"])
def test_a_model_with_a_table_that_is_too_short_is_damaged(name: str, tmp_path: Path) -> None:
    EASE().fit(checkerboard()).save(tmp_path)
    whole = pl.read_parquet(tmp_path / name)
    whole[:3].write_parquet(tmp_path / name)
    with refuses(f"The model in {tmp_path} is damaged", "train it anew"):
        EASE.load(tmp_path)
    whole.write_parquet(tmp_path / name)
    assert EASE.load(tmp_path).recommend(["user-00"], 3).height == 3


@pytest.mark.parametrize("settings", ["x", 3, ["regularization"]])
def test_a_model_whose_settings_are_no_table_is_damaged(settings: object, tmp_path: Path) -> None:
    EASE().fit(checkerboard()).save(tmp_path)
    written = read_toml(tmp_path / "config.toml")
    write_toml(tmp_path / "config.toml", {**written, "settings": settings})
    with refuses(f"The model in {tmp_path} is damaged", "train it anew"):
        EASE.load(tmp_path)


def test_a_model_says_how_it_differs_from_the_usual_one() -> None:
    assert repr(EASE(regularization=3.0)) == "EASE(regularization=3.0)"
    assert repr(EASE()) == "EASE()"


def test_a_fit_that_fails_leaves_no_model_of_the_data_before() -> None:
    data = checkerboard()
    model = LightGCN(dim=4, epochs=1).fit(data)
    nothing_validates = data.replace(parts=np.where(data.parts == 1, 0, data.parts))
    with pytest.raises(NegGenError, match="The validation part is empty"):
        model.fit(nothing_validates)
    with pytest.raises(NegGenError, match="is not fitted"):
        model.recommend(["user-00"])


def test_one_string_is_no_list_of_ids() -> None:
    model = EASE().fit(checkerboard())
    for ask in (model.recommend, model.score):
        with pytest.raises(NegGenError, match=r"The users are one string, 'user-00'; give a list"):
            ask("user-00")
    with pytest.raises(NegGenError, match=r"The items are one string, 'item-00'; give a list"):
        model.similar_items("item-00")
