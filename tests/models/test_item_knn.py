"""ItemKNN against its definition, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neggen.models import item_knn
from neggen.models.base import Recommender
from neggen.models.item_knn import ItemKNN
from neggen.testing import RecommenderContract, checkerboard


class TestItemKNN(RecommenderContract):
    by_history = True

    def model(self) -> Recommender:
        return ItemKNN(neighbors=15, shrink=1)


def by_hand(train: np.ndarray, k: int, shrink: float, normalize: bool) -> np.ndarray:
    """Return the scores of all users, dense ``[users, items]``."""
    items = train.shape[1]
    scores = np.zeros(train.shape)
    for j in range(items):
        likeness = np.zeros(items)
        for i in range(items):
            if i == j:
                continue
            together = (train[:, i] * train[:, j]).sum()
            size = np.sqrt(train[:, i].sum() * train[:, j].sum()) + shrink if normalize else 1
            likeness[i] = together / size if together else 0
        nearest = sorted(range(items), key=lambda i: (-likeness[i], i))[:k]
        for user in np.flatnonzero(train[:, j]):
            scores[user, nearest] += likeness[nearest]
    return scores


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("k", "shrink"), [(1, 0), (4, 2.5), (100, 10)])
def test_scores_are_the_sums_of_similarities_to_the_nearest(
    monkeypatch: pytest.MonkeyPatch, k: int, shrink: float, normalize: bool
) -> None:
    monkeypatch.setattr(item_knn, "PAIRS_AT_ONCE", 100)  # so that there are several chunks
    data = checkerboard()
    data = data.replace(parts=np.where(data.items == 5, 2, data.parts))  # item 5 has no training
    model = ItemKNN(neighbors=k, shrink=shrink, normalize=normalize).fit(data)
    expected = by_hand(data.train.toarray().astype(np.float64), k, shrink, normalize)
    found = model.score_index(torch.tensor([3, 0, 39])).numpy()
    assert found.dtype == np.float32
    assert np.allclose(found, expected[[3, 0, 39]], atol=1e-6)
    assert (expected[:, 5] == 0).all()
    assert np.diff(model.similarity.indptr).max() <= k
