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


def test_a_list_of_ids_is_no_string() -> None:
    model = Popularity().fit(checkerboard())
    with refuses("one string, 'user-07'"):
        model.recommend("user-07")
