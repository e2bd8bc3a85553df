"""Where features come from: given ones, then encoded texts, then descriptions made for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from neggen.config import Content
from neggen.data.dataset import Dataset
from neggen.data.vectors import Features, ItemGraph, ItemVectors
from neggen.models.base import Recommender
from neggen.models.content_knn import ContentKNN
from neggen.models.features import FeaturesConfig, encoded_features, item_features
from neggen.models.mf import MF
from neggen.models.popularity import Popularity
from neggen.testing import checkerboard, refuses

GRAPH = ItemGraph(np.zeros((40, 1), np.int32), np.ones((40, 1), np.float32))
AUDIO = Features(np.ones((40, 2), np.float32), np.arange(40) > 0)


def with_text(data: Dataset) -> ItemVectors:
    """Return the vectors of the checkerboard with own texts, which item 3 has not."""
    assert data.vectors is not None
    text = np.ones((40, 8), np.float32)
    text[3] = 0
    return dataclasses.replace(data.vectors, text=text)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("text", ["text"]),
        ("descriptions", ["image", "text"]),
        ("both", ["text", "image", "text-description"]),
    ],
)
def test_encoded_texts(content: Content, names: list[str]) -> None:
    vectors = with_text(checkerboard())
    found = item_features(checkerboard().replace(vectors=vectors), FeaturesConfig(content=content))
    assert list(found) == names
    if content != "descriptions":
        assert (found["text"].values == vectors.text).all()
        assert np.flatnonzero(~found["text"].mask).tolist() == [3]
    if content != "text":
        assert (found["image"].values == vectors.positive[:, 0]).all()
        assert np.flatnonzero(~found["image"].mask).tolist() == [0]
        assert (found[names[-1]].values == vectors.positive[:, 1]).all()


def test_given_features_come_first_and_empty_modalities_go() -> None:
    nothing = Features(np.zeros((40, 2), np.float32), np.zeros(40, bool))
    data = checkerboard().replace(features={"audio": AUDIO, "image": nothing})
    assert item_features(data, FeaturesConfig()) == {"audio": AUDIO}
    graphs = data.replace(graphs={"image": GRAPH})
    assert item_features(graphs, FeaturesConfig(), graphs_do=True) == {"audio": AUDIO}
    with refuses("No item has features"):
        item_features(checkerboard().replace(features={"image": nothing}), FeaturesConfig())


def test_graphs_alone_are_enough_for_those_who_say_so() -> None:
    data = checkerboard().replace(graphs={"image": GRAPH}, vectors=None, records=None)
    assert item_features(data, FeaturesConfig(), graphs_do=True) == {}
    with refuses("graphs of like items (image) and no features"):
        item_features(data, FeaturesConfig())


def test_data_without_vectors_are_described_first() -> None:
    data = checkerboard().replace(vectors=None, records=None)
    found = item_features(data, FeaturesConfig(content="both"))
    assert list(found) == ["text", "text-description"]  # there are no pictures
    assert found["text"].mask.all()


def test_own_texts_that_were_not_encoded() -> None:
    vectors = checkerboard().vectors
    assert vectors is not None
    with refuses("own texts are not encoded", "neggen encode"):
        encoded_features(vectors, "text")


def test_who_wants_vectors_of_which_data() -> None:
    class Multimodal(ContentKNN):
        takes_features = True

    plain, heard = checkerboard(), checkerboard().replace(features={"audio": AUDIO})
    tied = checkerboard().replace(graphs={"image": GRAPH})

    def wanted(model: Recommender) -> list[bool]:
        return [model.wants_vectors(data) for data in (plain, heard, tied)]

    assert wanted(Multimodal()) == [True, False, False]
    assert wanted(ContentKNN()) == [True, True, True]
    assert wanted(Popularity()) == [False, False, False]
    assert wanted(MF(sampler="generated")) == [True, True, True]
