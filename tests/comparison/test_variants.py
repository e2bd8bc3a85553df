"""Variants of the data: each takes away what it says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from neggen.comparison.variants import (
    one_modality,
    others,
    others_descriptions,
    random_slots,
    shuffled,
    varied,
    without_negatives,
)
from neggen.data.dataset import Dataset
from neggen.data.shop import make_shop
from neggen.data.vectors import ItemVectors
from neggen.encoding.store import encode_records
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.records import Record, records_frame
from neggen.generation.run import generate_records
from neggen.generation.subsets import attributes_alone

ITEMS, COMPLETIONS, WIDTH = 12, 3, 5


@pytest.fixture
def vectors() -> ItemVectors:
    """Of twelve items one has a picture only, and four have a text only."""
    rng = np.random.default_rng(1)
    mask = np.ones((ITEMS, 2), dtype=bool)
    mask[0, 1] = False
    mask[1:5, 0] = False
    positive = rng.normal(size=(ITEMS, 2, WIDTH)).astype(np.float32) * mask[..., None]
    negative = rng.normal(size=(ITEMS, COMPLETIONS, 2, WIDTH)).astype(np.float32)
    return ItemVectors(("image", "text"), positive, negative * mask[:, None, :, None], mask)


def test_others_are_others_of_the_same_modalities(vectors: ItemVectors) -> None:
    for step in range(1, 9):
        found = others(vectors.mask, seed=0, step=step)
        assert sorted(found) == list(range(ITEMS))
        np.testing.assert_array_equal(vectors.mask[found], vectors.mask)
        same = found == np.arange(ITEMS)
        assert same.nonzero()[0].tolist() == [0], "only the item without its like stays"
    assert not np.array_equal(others(vectors.mask, 0), others(vectors.mask, 1))
    np.testing.assert_array_equal(others(vectors.mask, 0), others(vectors.mask, 0))


def test_shuffled_moves_whole_negatives(vectors: ItemVectors) -> None:
    found = shuffled(vectors, seed=3)
    assert found.positive is vectors.positive
    for item in range(1, ITEMS):
        (origin,) = (
            n for n in range(ITEMS) if np.array_equal(found.negative[item], vectors.negative[n])
        )
        assert origin != item
    assert {row.tobytes() for row in found.negative} == {row.tobytes() for row in vectors.negative}


def test_without_negatives_all_are_their_mean(vectors: ItemVectors) -> None:
    found = without_negatives(vectors)
    texts = vectors.negative[1:, :, 1]  # all but item 0 have a text
    expected = texts.reshape(-1, WIDTH).mean(0)
    for item in range(1, ITEMS):
        np.testing.assert_allclose(found.negative[item, :, 1], [expected] * COMPLETIONS, rtol=1e-5)
    assert not found.negative[0, :, 1].any()


def test_descriptions_of_others(vectors: ItemVectors) -> None:
    found = others_descriptions(vectors, seed=0)
    assert found.negative.shape == vectors.negative.shape
    for item in range(1, ITEMS):
        origins = [
            next(n for n in range(ITEMS) if np.array_equal(row, vectors.positive[n]))
            for row in found.negative[item]
        ]
        assert item not in origins
        assert len(set(origins)) == COMPLETIONS


def test_no_modality_leaves_own_texts(vectors: ItemVectors) -> None:
    found = one_modality(vectors, "own")
    assert found.modalities == ()
    assert found.positive.shape[1] == found.negative.shape[2] == found.mask.shape[1] == 0
    assert found.text is vectors.text


def test_one_modality(vectors: ItemVectors) -> None:
    found = one_modality(vectors, "text")
    assert found.modalities == ("text",)
    np.testing.assert_array_equal(found.mask[:, 0], vectors.mask[:, 1])
    np.testing.assert_array_equal(found.positive[:, 0], vectors.positive[:, 1])
    np.testing.assert_array_equal(found.negative[:, :, 0], vectors.negative[:, :, 1])


def record(item: str, values: tuple[str, ...], replacements: tuple[str, ...]) -> Record:
    slots = " and ".join(["[MASK]"] * len(values))
    texts = [
        f"It is {' and '.join(fillings)} on a white wall." for fillings in (values, replacements)
    ]
    return Record(
        item_id=item, modality="text",
        description=texts[0], template=f"It is {slots} on a white wall.",
        values=values, replacements=replacements, negative=texts[1],
    )  # fmt: skip


def test_random_slots_change_as_many_words_anywhere() -> None:
    records = records_frame(
        [
            record("a", ("deep red", "round"), ("ALPHA", "ALPHA")),
            record("b", ("square",), ("BETA GAMMA",)),
            record("c", ("tall",), ("DELTA",)),
        ],
        "test",
    )
    foreign = {
        "a": {"BETA", "GAMMA", "DELTA"},
        "b": {"ALPHA", "DELTA"},
        "c": {"ALPHA", "BETA", "GAMMA"},
    }
    places: set[int] = set()
    for seed in range(30):
        found = random_slots(records, seed)
        assert found.drop("negative").equals(records.drop("negative"))
        for row, masked in zip(found.iter_rows(named=True), (3, 1, 1), strict=True):
            pairs = list(zip(row["description"].split(), row["negative"].split(), strict=True))
            changed = [(n, new) for n, (old, new) in enumerate(pairs) if old != new]
            assert len(changed) == masked
            assert {new for _, new in changed} <= foreign[row["item_id"]]
            places |= {n for n, _ in changed}
    assert places == set(range(10)), "also the words outside the slots"


@pytest.fixture(scope="module")
def shop() -> Dataset:
    shop = make_shop(60, 60)
    return Dataset.from_frames(shop.interactions, shop.items.drop("image")).split()


def test_the_catalogue_generator_beside_recorded_descriptions(shop: Dataset, word_encoder) -> None:
    recorded = records_frame(
        [record(item, ("red",), ("blue",)) for item in shop.item_ids], "recorded"
    )
    data = shop.replace(records=recorded, vectors=encode_records(shop, recorded, word_encoder))
    found = varied(data, "catalog-generator", 0, word_encoder).vectors
    assert found is not None
    assert data.vectors is not None
    np.testing.assert_array_equal(found.positive, data.vectors.positive)
    written = generate_records(data, CatalogueBackend(data, seed=0))
    assert 0 < written["item_id"].n_unique() <= 60
    theirs = encode_records(data, written, word_encoder)
    has = theirs.mask[:, 0]
    np.testing.assert_array_equal(found.negative[has, 0, 0], theirs.negative[has, 0, 0])
    for item in np.flatnonzero(~has):
        np.testing.assert_allclose(found.negative[item, 0, 0], theirs.negative[has, 0, 0].mean(0))


def test_random_slots_are_encoded(shop: Dataset, word_encoder) -> None:
    recorded = records_frame(
        [record(item, ("red",), (f"blue{n}",)) for n, item in enumerate(shop.item_ids)], "recorded"
    )
    data = shop.replace(records=recorded, vectors=encode_records(shop, recorded, word_encoder))
    found = varied(data, "random-slots", 5, word_encoder).vectors
    assert found is not None
    texts = random_slots(recorded, 5)["negative"].to_list()
    np.testing.assert_allclose(found.negative[:, 0, 0], word_encoder.encode(texts))


def test_random_words_stand_in_what_the_encoder_reads(shop: Dataset, word_encoder) -> None:
    recorded = records_frame(
        [record(item, ("red",), (f"blue{n}",)) for n, item in enumerate(shop.item_ids)], "recorded"
    )
    vectors = encode_records(shop, recorded, word_encoder, "attributes")
    found = varied(shop.replace(records=recorded, vectors=vectors), "random-slots", 5, word_encoder)
    assert found.vectors is not None
    texts = random_slots(attributes_alone(recorded), 5)["negative"].to_list()
    np.testing.assert_allclose(found.vectors.negative[:, 0, 0], word_encoder.encode(texts))
    assert not np.allclose(found.vectors.negative, vectors.negative)


def test_generated_is_what_there_is(shop: Dataset, word_encoder) -> None:
    recorded = records_frame([record(shop.item_ids[0], ("red",), ("blue",))], "recorded")
    data = shop.replace(records=recorded, vectors=encode_records(shop, recorded, word_encoder))
    assert varied(data, "generated", 0, word_encoder).vectors is data.vectors
