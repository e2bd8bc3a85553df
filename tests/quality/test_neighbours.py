"""The nearest other items, against a search by hand."""

from __future__ import annotations

import numpy as np
import pytest

from neggen.data.vectors import ItemVectors
from neggen.negatives import false_negatives
from neggen.quality.neighbours import nearest_items


def random_vectors(items: int = 40, completions: int = 2) -> ItemVectors:
    rng = np.random.default_rng(2)
    return ItemVectors(
        ("image", "text"),
        rng.normal(size=(items, 2, 6)).astype(np.float32),
        rng.normal(size=(items, completions, 2, 6)).astype(np.float32),
        rng.random((items, 2)) < 0.7,
    )


@pytest.mark.parametrize("block", [1 << 22, 100])
def test_they_are_the_nearest_and_never_the_item_itself(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(false_negatives, "BLOCK_PAIRS", block)
    monkeypatch.setattr(false_negatives, "LEAST_ROWS", 1)
    vectors = random_vectors()
    found = nearest_items(vectors, 3)
    assert found.items.shape == found.cosines.shape == (40, 3, 2, 3)
    texts = np.concatenate([vectors.positive[:, None], vectors.negative], axis=1)
    for item, text, m in np.ndindex(40, 3, 2):
        if not vectors.mask[item, m]:
            assert (found.items[item, text, m] == -1).all()
            assert np.isnan(found.cohesion[item, text, m])
            continue
        others = [j for j in range(40) if vectors.mask[j, m] and j != item]
        query = texts[item, text, m] / np.linalg.norm(texts[item, text, m])
        real = vectors.positive[others, m]
        cosines = real @ query / np.linalg.norm(real, axis=1)
        best = np.argsort(-cosines)[:3]
        assert found.items[item, text, m].tolist() == [others[j] for j in best]
        assert found.cohesion[item, text, m] == pytest.approx(cosines[best].mean(), abs=1e-5)


def test_cohesion_of_a_copied_description_is_one_and_of_nonsense_zero() -> None:
    axes = np.eye(8, dtype=np.float32)
    positive = axes[[0, 0, 0, 1]][:, None]
    negative = axes[[0, 5, 1, 6]][:, None, None]
    vectors = ItemVectors(("text",), positive, negative, np.ones((4, 1), np.bool_))
    cohesion = nearest_items(vectors, 1).cohesion[:, :, 0]
    assert cohesion.tolist() == [[1, 1], [1, 0], [1, 1], [0, 0]]


def test_few_items_have_few_neighbours() -> None:
    vectors = random_vectors(items=3)
    vectors.mask[:] = [[True, True], [True, False], [True, False]]
    found = nearest_items(vectors, 10)
    assert (found.items[:, :, 0, :2] >= 0).all()
    assert (found.items[:, :, 0, 2:] == -1).all()
    assert (found.items[:, :, 1] == -1).all()
    assert np.isfinite(found.cohesion[:, :, 0]).all()
