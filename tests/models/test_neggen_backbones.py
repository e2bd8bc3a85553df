"""NegGen on any recommender: it starts at its base, saves, and scores what it has never seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from neggen.config import NegGenConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.errors import NegGenError
from neggen.evaluation import ranking
from neggen.models import model_class, neggen_module
from neggen.models.base import Recommender
from neggen.models.ease import EASE
from neggen.models.lightgcn import LightGCN
from neggen.models.modality_shares import modality_shares
from neggen.models.neggen import NegGen
from neggen.testing import RecommenderContract, checkerboard, refuses
from neggen.workspace import read_toml, write_toml

TRAINED = {"dim": 16, "learning_rate": 0.05, "epochs": 4, "evaluate_every": 2}
BACKBONES: dict[str, dict[str, Any]] = {
    "lightgcn": TRAINED,
    "mf": TRAINED,
    "frozen-graph": {**TRAINED, "content": "descriptions"},
    "ease": {"regularization": 10.0},
    "neggen-linear": {"regularization": 10.0},
}
SMALL = {"dim": 16, "heads": 2, "epochs": 3, "learning_rate": 0.01, "evaluate_every": 1}


def on(backbone: str, **settings: Any) -> NegGen:
    return NegGen(**{**SMALL, "backbone": backbone, "base": BACKBONES[backbone], **settings})


def with_text(data: Dataset) -> Dataset:
    """Give the items of the checkerboard texts that tell the groups apart, but two of them."""
    assert data.vectors is not None
    rng = np.random.default_rng(2)
    text = np.eye(8, dtype=np.float32)[np.arange(data.shape[1]) % 2 + 2]
    text += rng.normal(0, 0.1, text.shape).astype(np.float32)
    text[[3, 4]] = 0
    return data.replace(vectors=replace(data.vectors, text=text))


class TestNegGenOnEASE(RecommenderContract):
    by_history = True

    def model(self) -> Recommender:
        return on("ease")


class TestNegGenWithTexts(RecommenderContract):
    def model(self) -> Recommender:
        return on("mf")

    def data(self) -> Dataset:
        return with_text(checkerboard())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_starts_exactly_at_its_base_and_is_saved_with_it(backbone: str, tmp_path: Path) -> None:
    data = checkerboard()
    users = data.user_ids.to_list()
    alone = model_class(backbone)(**BACKBONES[backbone]).fit(data)  # type: ignore[call-arg]
    assert on(backbone, effect_weights=(0.0,)).fit(data).score(users).equals(alone.score(users))

    model = on(backbone, effect_weights=(0.5,)).fit(data)
    assert not model.score(users).equals(alone.score(users))
    model.save(tmp_path)
    loaded = NegGen.load(tmp_path)
    assert loaded.score(users).equals(model.score(users))
    assert loaded.backbone.score(users).equals(alone.score(users))
    assert loaded.recommend(users, 5).equals(model.recommend(users, 5))
    everybody = torch.arange(len(users))
    assert torch.allclose(loaded.tastes_by(data.train), model.tastes(everybody), atol=1e-6)
    base = alone.score_histories(data.train)
    causal = model.tastes(everybody) @ model.effects.T
    assert torch.allclose(loaded.score_histories(data.train), base + causal, atol=1e-5)
    assert (loaded.factors() is None) == (alone.factors() is None)
    if (factors := loaded.factors()) is not None:
        scores = factors[0] @ factors[1].T
        assert torch.allclose(scores, model.score_index(torch.arange(len(users))), atol=1e-5)


@pytest.mark.parametrize("backbone", ["lightgcn", "ease"])
def test_a_given_base_says_what_it_is(backbone: str, tmp_path: Path) -> None:
    data = checkerboard()
    base = model_class(backbone)(**BACKBONES[backbone]).fit(data)  # type: ignore[call-arg]
    model = NegGen(**SMALL)
    model.base = base
    model.fit(data).save(tmp_path)
    loaded = NegGen.load(tmp_path)
    assert loaded.config.backbone == backbone
    assert type(loaded.backbone) is type(base)
    users = data.user_ids.to_list()
    assert loaded.score(users).equals(model.score(users))


def test_published_scores_are_those_of_the_formula() -> None:
    data = checkerboard()
    few = {**SMALL, "heads": 8, "base": {**TRAINED, "layers": 3}}
    model = NegGen(NegGenConfig.paper(**few)).fit(data)
    base = model.backbone
    assert isinstance(base, LightGCN)
    users = base.user_embeddings
    expected = users @ base.item_embeddings.T + 0.4 * users @ model.effects.T
    assert torch.allclose(model.score_index(torch.arange(len(users))), expected, atol=1e-5)
    users = base.embed_histories(data.train)
    expected = users @ base.item_embeddings.T + 0.4 * users @ model.effects.T
    assert torch.allclose(model.score_histories(data.train), expected, atol=1e-5)
    other = on("lightgcn", score="embedding")
    other.base = LightGCN(dim=8, epochs=1).fit(data)
    with pytest.raises(NegGenError, match="dim = 16, but those of lightgcn are 8 wide"):
        other.fit(data)


def test_kept_base_scores_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = checkerboard()
    asked: list[int] = []

    class Counted(EASE):
        def _score(self, users: torch.Tensor) -> torch.Tensor:
            asked.append(len(users))
            return super()._score(users)

    def trained() -> tuple[NegGen, int]:
        model = on("ease")
        model.base = Counted(regularization=1e6).fit(data)
        asked.clear()
        return model.fit(data), len(asked)

    monkeypatch.setattr(ranking, "CHUNK_SCORES", 15 * data.shape[1])  # several chunks
    kept, few = trained()
    monkeypatch.setattr(neggen_module, "KEPT_SCORES", 20 * data.shape[1])  # room for one of them
    recomputed, many = trained()
    assert few < many
    users = data.user_ids.to_list()
    assert kept.score(users).equals(recomputed.score(users))
    assert kept.effect_weight > 0


# -- descriptions it has never seen ------------------------------------------------------------


def rows(vectors: ItemVectors, which: list[int]) -> ItemVectors:
    text = None if vectors.text is None else vectors.text[which]
    return replace(
        vectors,
        positive=vectors.positive[which],
        negative=vectors.negative[which],
        mask=vectors.mask[which],
        text=text,
    )


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("reload", [False, True])
def test_effects_of_the_catalogue_and_of_other_words(
    texts: bool, reload: bool, tmp_path: Path
) -> None:
    data = with_text(checkerboard()) if texts else checkerboard()
    model = on("ease", contrast=1.0, effect_weights=(1.0,)).fit(data)
    if reload:
        model.save(tmp_path)
        model = NegGen.load(tmp_path)
    vectors = data.vectors
    assert vectors is not None
    assert torch.allclose(model.effects_of(vectors), model.effects, atol=1e-5)
    users = torch.arange(data.shape[0])
    causal = model.score_index(users) - model.backbone.score_index(users)
    assert torch.allclose(model.tastes(users) @ model.effects.T, causal, atol=1e-4)

    # Item 2 takes the words of item 5, which is of the other group: other people want it then.
    few = rows(vectors, [2, 5])
    changed = replace(
        few,
        positive=few.positive[[1, 1]],
        negative=few.negative[[1, 1]],
        text=None if few.text is None else few.text[[1, 1]],
    )
    before, after = (model.effects_of(each) for each in (few, changed))
    assert after[0].equal(after[1])
    assert torch.allclose(before[1], after[1], atol=1e-5)
    wanted = model.tastes(users) @ torch.stack([before[0], after[0]]).T  # [users, 2]
    group = torch.from_numpy(np.array([int(u[-2:]) % 2 for u in data.user_ids]))
    assert (wanted[group == 0, 0] > wanted[group == 0, 1]).all()
    assert (wanted[group == 1, 0] < wanted[group == 1, 1]).all()


def test_texts_count_only_where_they_are_wanted_and_known() -> None:
    data = with_text(checkerboard())
    vectors = data.vectors
    assert vectors is not None
    bare = data.replace(vectors=replace(vectors, text=None))
    users = data.user_ids.to_list()
    with_them, without = on("ease").fit(data), on("ease", use_text=False).fit(data)
    assert without.score(users).equals(on("ease").fit(bare).score(users))
    assert not with_them.score(users).equals(without.score(users))
    # Known to the model, but not there: like an item whose text is missing.
    silent = replace(vectors, text=np.zeros_like(vectors.text))
    assert with_them.effects_of(silent).equal(with_them.effects_of(replace(vectors, text=None)))
    assert not torch.allclose(with_them.effects_of(silent), with_them.effects, atol=1e-3)
    # There, but not known to the model.
    assert without.effects_of(vectors).equal(without.effects_of(replace(vectors, text=None)))


def test_refuses_descriptions_in_other_modalities() -> None:
    data = checkerboard()
    model = on("ease").fit(data)
    vectors = data.vectors
    assert vectors is not None
    with pytest.raises(NegGenError, match=r"knows the modalities image, text .* sound, text"):
        model.effects_of(replace(vectors, modalities=("sound", "text")))


# -- the share of a modality -------------------------------------------------------------------


def test_a_modality_that_decides_has_the_larger_share() -> None:
    # Users like two of twenty features, which the texts tell; the pictures are noise.
    rng = np.random.default_rng(0)
    features = np.arange(200) % 20
    log = [
        (f"u{user}", f"i{item}")
        for user in range(200)
        for item in rng.choice(
            np.flatnonzero(np.isin(features, rng.choice(20, 2, False))), 6, False
        )
    ]
    items = pl.DataFrame({"item_id": [f"i{item}" for item in range(200)]})
    data = Dataset.from_frames(pl.DataFrame(log, ["user_id", "item_id"], orient="row"), items)
    positive = rng.normal(size=(200, 2, 20)).astype(np.float32)
    positive[:, 1] = np.eye(20)[features]
    vectors = ItemVectors(("image", "text"), positive, -positive[:, None], np.ones((200, 2), bool))
    data = data.split().replace(vectors=vectors)
    model = on("ease", base={"regularization": 1e6}, effect_weights=(4.0,)).fit(data)
    shares = modality_shares(model, data)
    assert list(shares) == ["image", "text"]
    assert shares["text"] > 0.1
    assert shares["image"] < 0.01
    alone = on("ease", effect_weights=(0.0,)).fit(data)
    assert modality_shares(alone, data) == {"image": 0.0, "text": 0.0}
    with pytest.raises(NegGenError, match="need data with vectors"):
        modality_shares(model, data.replace(vectors=None))


def test_a_model_whose_settings_are_of_another_is_damaged(tmp_path: Path) -> None:
    data = checkerboard()
    on("mf", effect_weights=(0.5,)).fit(data).save(tmp_path)
    written = read_toml(tmp_path / "config.toml")
    written["settings"]["dim"] *= 2
    write_toml(tmp_path / "config.toml", written)
    with refuses("is damaged", "train it anew"):
        NegGen.load(tmp_path)
