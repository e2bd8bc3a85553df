"""Items that nobody has used: ranked among themselves, by what they are."""

from __future__ import annotations

import dataclasses
import re
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.shop import make_shop
from neggen.encoding.store import encode_records
from neggen.errors import NegGenError
from neggen.evaluation.ranking import candidates_of, evaluate_ranking
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.run import generate_records
from neggen.models.base import Recommender
from neggen.models.content_knn import ContentKNN
from neggen.models.content_lightgcn import ContentLightGCN
from neggen.models.described_items import Described
from neggen.models.frozen_graph import FrozenGraph
from neggen.models.lightgcn import LightGCN
from neggen.models.linear_neggen import LinearNegGen
from neggen.models.loading import load
from neggen.models.mf import MF
from neggen.models.neggen import NegGen
from neggen.models.popularity import Popularity

FEW = {"dim": 16, "epochs": 12, "learning_rate": 0.02, "evaluate_every": 2, "batch_size": 512}


class Words:
    """A real encoder that takes no time: counts of words, hashed."""

    fingerprint = "counts of words"

    def encode(self, texts, on_progress=None):
        vectors = np.zeros((len(texts), 512), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, zlib.crc32(word.encode()) % 512] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


WORDS = Words()


@pytest.fixture(scope="module")
def shop() -> Dataset:
    """A shop with a quarter of its items held out for validation, and a quarter for the test."""
    drawn = make_shop(items=160, users=500, seed=3)
    data = Dataset.from_frames(drawn.interactions, drawn.items.drop("image"))
    data = data.split(SplitConfig(kind="cold-items", seed=1, valid_share=0.25, test_share=0.25))
    records = generate_records(data, CatalogueBackend(data))
    vectors = encode_records(data, records, WORDS)
    return data.replace(records=records, vectors=vectors)


def recall(model: Recommender, data: Dataset, part: str = "test") -> float:
    target = data.matrix(part)
    candidates = candidates_of(target, data.train)
    assert candidates is not None
    found = evaluate_ranking(model.score_index, data.train, target, ks=[5], candidates=candidates)
    return found.metrics["recall@5"]


def chance(data: Dataset, part: str = "test") -> float:
    return 5 / len(np.unique(data.matrix(part).indices))


def test_candidates_are_the_new_items_if_all_of_a_part_are(shop: Dataset) -> None:
    for part in ("valid", "test"):
        candidates = candidates_of(shop.matrix(part), shop.train)
        assert candidates is not None
        assert set(np.flatnonzero(candidates)) == set(shop.matrix(part).indices)
    warm = shop.split("random")
    assert candidates_of(warm.test, warm.train) is None


def test_what_nobody_used_is_nobodys_negative(shop: Dataset) -> None:
    new = np.bincount(shop.train.indices, minlength=shop.shape[1]) == 0
    for model in (MF(**FEW, patience=99), LightGCN(**FEW, patience=99)):
        model.fit(shop)
        assert not model.item_embeddings[new].any()
        assert model.item_embeddings[~new].any(1).all()
        assert recall(model, shop) < 1.2 * chance(shop)
    assert recall(Popularity().fit(shop), shop) < 1.2 * chance(shop)


@pytest.mark.parametrize(
    "model",
    [
        ContentKNN(content="both"),
        LinearNegGen(),
        LinearNegGen(use_text=False, contrast=0.5),
        ContentLightGCN(**FEW),
        FrozenGraph(**FEW, content="both"),
        NegGen(**FEW, heads=4, base=FEW),
    ],
    ids=lambda model: type(model).__name__,
)
def test_content_ranks_new_items(shop: Dataset, model: Recommender) -> None:
    assert recall(model.fit(shop), shop) > 1.5 * chance(shop)


@pytest.fixture(scope="module")
def newcomers(shop: Dataset) -> tuple[Dataset, Dataset]:
    """Return the shop without the items of its test part, and these items alone."""
    new = np.unique(shop.test.indices)
    old = np.setdiff1d(np.arange(shop.shape[1]), new)
    log = pl.DataFrame({"user_id": shop.user_ids[shop.users], "item_id": shop.item_ids[shop.items]})
    names = shop.item_ids[new]
    known = Dataset.from_frames(
        log.filter(~pl.col("item_id").is_in(names.implode())),
        shop.item_table[old].drop("image", "image_sha256"),
    ).split("random")
    records = shop.records
    assert records is not None
    known = known.replace(records=records, vectors=encode_records(known, records, WORDS))
    return known, Dataset.from_frames(None, shop.item_table[new].drop("image", "image_sha256"))


@pytest.mark.parametrize("model", [LinearNegGen(), NegGen(**FEW, heads=4, base=FEW)])
def test_items_that_came_later(
    shop: Dataset, newcomers: tuple[Dataset, Dataset], model: Described
) -> None:
    known, later = newcomers
    model.fit(known)
    used = shop.test.tocoo()
    pairs = zip(shop.user_ids[used.row], shop.item_ids[used.col], strict=True)
    liked = {pair for pair in pairs if pair[0] in known.user_ids}
    users = sorted({user for user, _ in liked})
    for records in (shop.records, None):
        found = model.recommend_new_items(
            later.item_table, users, k=5, records=records, encoder=WORDS
        )
        assert found.columns == ["user_id", "rank", "item_id", "score"]
        assert found["user_id"].to_list() == [user for user in users for _ in range(5)]
        assert set(found["item_id"]) <= set(later.item_ids)
        hits = np.mean([pair in liked for pair in found.select("user_id", "item_id").iter_rows()])
        assert hits > 1.5 * len(liked) / (len(users) * len(later.item_ids))
    vectors = encode_records(later, shop.records, WORDS)
    best = model.recommend_new_items(later.replace(vectors=vectors), [users[3]], k=500)
    index = torch.from_numpy(model._users([users[3]]))
    scores = model.tastes(index) @ model.effects_of(vectors).T
    expected = dict(zip(later.item_ids, scores[0].tolist(), strict=True))
    assert {i: s for _, _, i, s in best.iter_rows()} == pytest.approx(expected, abs=1e-5)
    assert best["score"].is_sorted(descending=True)
    histories = {"x": known.item_ids[known.train[int(index[0])].indices].to_list()}
    later = later.replace(vectors=vectors)
    by_history = model.recommend_new_items(later, histories, k=500)
    assert by_history["item_id"].equals(best["item_id"])
    assert np.allclose(by_history["score"], best["score"], atol=1e-5)
    few, out = best["item_id"][3:9].to_list(), best["item_id"][4:5].to_list()
    told = model.recommend_new_items(later, [users[3]], candidates=few, exclude=out)
    assert told["item_id"].to_list() == [few[0], *few[2:]]
    wide = model.recommend_new_items(later, [users[3]], k=5, diversity=1)
    assert wide["item_id"][0] == best["item_id"][0]
    assert wide["item_id"].n_unique() == 5
    assert not wide["item_id"].equals(best["item_id"][:5])
    assert set(model.recommend_new_items(later.replace(vectors=vectors))["user_id"]) == set(
        known.user_ids
    )


def test_new_items_are_refused_in_a_sentence(
    shop: Dataset, newcomers: tuple[Dataset, Dataset]
) -> None:
    known, later = newcomers
    model = LinearNegGen(use_text=False)
    with pytest.raises(NegGenError, match="not fitted"):
        model.recommend_new_items(later.item_table)
    model.fit(known)
    with pytest.raises(NegGenError, match=r"needs the records of new items"):
        model.recommend_new_items(later.item_table)
    with pytest.raises(NegGenError, match=r"knows all of these items"):
        model.recommend_new_items(known)
    with pytest.raises(NegGenError, match=r"There is no user 'nobody'"):
        model.recommend_new_items(later.item_table, ["nobody"])
    with pytest.raises(NegGenError, match="k = 0"):
        model.recommend_new_items(later.item_table, k=0)
    with pytest.raises(NegGenError, match="The history of 'x' is empty"):
        model.recommend_new_items(later.item_table, {"x": []})
    vectors = encode_records(later, shop.records, WORDS)
    masked = dataclasses.replace(vectors, mask=np.zeros_like(vectors.mask))
    with pytest.raises(NegGenError, match=r"None of the new items is described"):
        model.recommend_new_items(later.replace(vectors=masked))
    other = dataclasses.replace(vectors, modalities=("sound",))
    with pytest.raises(NegGenError, match=r"described by sound, which this model does not know"):
        model.recommend_new_items(later.replace(vectors=other))
    others = dataclasses.replace(vectors, encoder="another")
    with pytest.raises(NegGenError, match=r"by another text encoder than those the model learned"):
        model.recommend_new_items(later.replace(vectors=others))
    alone = dataclasses.replace(vectors, reads="attributes")
    with pytest.raises(NegGenError, match=r"learned from encoded descriptions, but .* attributes"):
        model.recommend_new_items(later.replace(vectors=alone))
    silent = NegGen(**FEW, heads=4, base=FEW, effect_weights=(0.0,)).fit(known)
    with pytest.raises(NegGenError, match="learned nothing from descriptions"):
        silent.recommend_new_items(later.replace(vectors=vectors))


def test_what_the_vectors_are_of_is_saved_with_the_model(
    shop: Dataset, newcomers: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    known, later = newcomers
    assert shop.records is not None
    alone = encode_records(known, shop.records, WORDS, "attributes")
    LinearNegGen().fit(known.replace(vectors=alone)).save(tmp_path / "model")
    model = load(tmp_path / "model")
    assert isinstance(model, LinearNegGen)
    assert (model.balance.reads, model.balance.encoder) == ("attributes", WORDS.fingerprint)
    # records of new items are read in the same way, without being told
    given = encode_records(later, shop.records, WORDS, "attributes")
    by_vectors = model.recommend_new_items(later.replace(vectors=given), k=5)
    records = model.recommend_new_items(later.item_table, k=5, records=shop.records, encoder=WORDS)
    assert records.equals(by_vectors)
    with pytest.raises(NegGenError, match="by another text encoder"):
        model.recommend_new_items(later.item_table, k=5)


def test_who_has_no_training_interactions_has_no_taste(
    shop: Dataset, newcomers: tuple[Dataset, Dataset]
) -> None:
    known, later = newcomers
    parts = known.parts.copy()
    parts[known.users == 2] = 2
    known = known.replace(parts=parts)
    later = later.replace(vectors=encode_records(later, shop.records, WORDS))
    model, user = LinearNegGen().fit(known), known.user_ids[2]
    with pytest.raises(NegGenError, match=f"Nothing that '{user}' is known to have used in train"):
        model.recommend_new_items(later, [user])
    assert len(model.recommend_new_items(later, [user, known.user_ids[3]], k=1)) == 2


def test_users_that_are_named_are_not_looked_for_among_all(
    shop: Dataset, newcomers: tuple[Dataset, Dataset]
) -> None:
    known, later = newcomers
    later = later.replace(vectors=encode_records(later, shop.records, WORDS))
    model, user = LinearNegGen().fit(known), known.user_ids[3]
    expected = model.recommend_new_items(later, [user])
    others = pl.Series([f"another user {number}" for number in range(300_000)])
    model.user_ids = pl.concat([known.user_ids, others.rename(known.user_ids.name)])
    tracemalloc.start()
    try:
        assert model.recommend_new_items(later, [user]).equals(expected)
        assert tracemalloc.get_traced_memory()[1] < 4e6, "a list of all would take 20 MB"
    finally:
        tracemalloc.stop()


def test_a_model_of_ids_is_trained_though_new_items_tell_it_nothing(shop: Dataset) -> None:
    data = shop.split("cold-items")
    short, long = (
        LightGCN(dim=8, epochs=epochs, learning_rate=0.02).fit(data) for epochs in (1, 8)
    )
    logs = long.history["lightgcn"]
    assert len({log.valid["recall@20"] for log in logs if log.valid}) == 1
    seen = [
        float((users @ items.T)[torch.from_numpy(data.train.toarray() > 0)].mean())
        for users, items in (short.factors(), long.factors())
    ]
    assert seen[1] > seen[0] + 0.01, "what was learned is kept"
