"""Like items against cosines by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from neggen.models import similar
from neggen.models.ease import EASE
from neggen.models.item_knn import ItemKNN
from neggen.models.popularity import Popularity
from neggen.testing import checkerboard, refuses


class Drawn(Popularity):
    """Vectors as drawn, none for the items 3 and 7."""

    def item_vectors(self, items: Tensor) -> Tensor:
        rows = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
        rows[[3, 7]] = 0
        return torch.from_numpy(rows)[items]


@pytest.mark.parametrize("at_once", [similar.CHUNK_SCORES, 50])
def test_cosines_of_all_others(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "CHUNK_SCORES", at_once)
    data = checkerboard()
    model, names = Drawn().fit(data), data.item_ids.to_list()
    rows = model.item_vectors(torch.arange(40)).numpy()
    norms = np.linalg.norm(rows, axis=1)
    found = model.similar_items(names, 100)
    scores = {(one, other): score for one, _, other, score in found.iter_rows()}
    assert len(scores) == 38 * 37  # nothing is known of two items, so nothing is like them
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            if i != j and norms[i] and norms[j]:
                cosine = rows[i] @ rows[j] / norms[i] / norms[j]
                assert scores[one, other] == pytest.approx(cosine, abs=1e-5)
    assert model.similar_items([names[3]]).is_empty()
    assert model.similar_items([]).is_empty()


def test_item_models_compare_what_goes_with_items() -> None:
    data = checkerboard()
    ease = EASE(regularization=3.0).fit(data)
    items = torch.tensor([5, 2])
    assert ease.item_vectors(items).equal(ease.weights.T[items])
    knn = ItemKNN(neighbors=15, shrink=1).fit(data)
    assert np.array_equal(knn.item_vectors(items).numpy(), knn.similarity.toarray()[[5, 2]])


@pytest.mark.parametrize("model", [EASE(regularization=3.0), ItemKNN(neighbors=15, shrink=1)])
def test_vectors_as_long_as_the_catalogue_are_measured_once(
    model: EASE | ItemKNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered: list[int] = []
    asked = type(model).item_vectors

    def counting(self: EASE | ItemKNN, items: Tensor) -> Tensor:
        gathered.append(len(items))
        return asked(self, items)

    monkeypatch.setattr(type(model), "item_vectors", counting)
    data = checkerboard()
    names, items = data.item_ids.to_list(), data.items.copy()
    items[items == 7] = 8  # which leaves one item without a vector
    for drawn in (data, data.replace(items=items), data):  # by another fit, other norms
        model.fit(drawn)
        vectors = asked(model, torch.arange(40))
        norms = vectors.norm(dim=1)
        cosines = vectors @ vectors.T / norms / norms[:, None]
        for _ in range(2):
            gathered.clear()
            found = model.similar_items(names, 100)
            assert sum(gathered) == 40, "those that were asked for"
        known = int((norms > 0).sum())
        assert known == (39 if drawn is not data else 40)
        assert len(found) == known * (known - 1)
        for one, _, other, score in found.iter_rows():
            expected = float(cosines[names.index(one), names.index(other)])
            assert score == pytest.approx(expected, abs=1e-6)


def test_a_list_of_ids_is_no_string() -> None:
    model = Popularity().fit(checkerboard())
    with refuses("one string, 'user-07'"):
        model.recommend("user-07")
