"""Hardness, on embeddings whose scores are known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from neggen.data.dataset import Dataset
from neggen.quality.hardness import measure_hardness
from neggen.quality.neighbours import Neighbours

USERS, ITEMS = 30, 20


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def data() -> Dataset:
    """Every user uses items 0 and 1 + u mod 4, so that items 5 and up are unseen by all."""
    pairs = [(u, i) for u in range(USERS) for i in (0, 1 + u % 4)]
    log = pl.DataFrame(
        {"user_id": [f"u{u}" for u, _ in pairs], "item_id": [f"{i}" for _, i in pairs]}
    )
    items = pl.DataFrame({"item_id": [str(i) for i in range(ITEMS)]})
    made = Dataset.from_frames(log, items)
    return made.replace(parts=np.zeros(len(made.users), np.uint8))


def model(scores: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings that give every user these scores."""
    return torch.ones(USERS, 1), torch.tensor(scores)[:, None]


def neighbours(near: dict[int, list[int]], of_description: list[int]) -> Neighbours:
    items = np.full((ITEMS, 2, 1, 3), -1, dtype=np.int64)
    for item, found in near.items():
        items[item, 1, 0, : len(found)] = found
        items[item, 0, 0, : len(of_description)] = of_description
    return Neighbours(items, np.where(items >= 0, 1.0, np.nan).astype(np.float32))


def test_scores_of_negatives_are_those_of_unseen_neighbours(data: Dataset) -> None:
    scores = [2.0] * 5 + [0.0] * 13 + [1.0, 1.5]
    near = neighbours({item: [0, 18, 19] for item in range(5)}, [5])  # all have used 0
    found = measure_hardness(model(scores), data, near, seed=0)
    assert found.interactions == 2 * USERS
    generated = (sigmoid(-1) + sigmoid(-0.5)) / 2
    assert found.by_sampler["generated"] == pytest.approx(generated, abs=1e-6)
    assert found.by_modality == pytest.approx([generated], abs=1e-6)
    assert found.by_sampler["alike"] == pytest.approx(sigmoid(-2), abs=1e-6)
    assert np.allclose(found.by_text[:5, 1, 0], generated)
    assert np.isnan(found.by_text[5:]).all()


def test_samplers_where_all_unseen_items_score_alike(data: Dataset) -> None:
    scores = [1.0] + [1.0] * 4 + [0.0] * 15
    seen_first = model(scores)
    near = neighbours({item: [5, 6, 7] for item in range(5)}, [8])
    found = measure_hardness(seen_first, data, near, seed=0).by_sampler
    # Items 1 to 4 that a user has not used score like the positive; a uniform sample seldom is one.
    share = 3 / 18
    assert found["uniform"] == pytest.approx(
        share * sigmoid(0) + (1 - share) * sigmoid(-1), abs=0.03
    )
    assert found["dns"] == pytest.approx(sigmoid(0), abs=0.02)
    assert found["uniform"] < found["dns"] <= 0.5


def test_mixing_brings_a_negative_nearer_to_the_positive(data: Dataset) -> None:
    scores = [4.0] * 5 + [0.0] * 15
    near = neighbours({item: [5] for item in range(5)}, [6])
    flat = model([4.0, *[0.0] * 19])  # every unseen item scores 0 beside item 0
    only_first = data.replace(parts=np.where(data.items == 0, 0, 2).astype(np.uint8))
    found = measure_hardness(flat, only_first, near, seed=0).by_sampler
    assert found["uniform"] == found["dns"] == pytest.approx(sigmoid(-4), abs=1e-6)
    # The mean of σ(−4 (1 − α)) over uniform α.
    expected = 1 - np.log((1 + np.exp(4)) / 2) / 4
    assert found["mixgcf"] == pytest.approx(expected, abs=0.08)
    assert measure_hardness(model(scores), data, near, seed=0).by_sampler["mixgcf"] < 0.5


def test_the_seed_decides(data: Dataset) -> None:
    rng = np.random.default_rng(0)
    made = model(rng.normal(size=ITEMS).tolist())
    near = neighbours({item: [5] for item in range(5)}, [6])
    first, again, other = (
        measure_hardness(made, data, near, seed).by_sampler for seed in (0, 0, 1)
    )
    assert first == again
    assert first["uniform"] != other["uniform"]
    assert first["generated"] == pytest.approx(other["generated"]), "all interactions are drawn"


def test_without_neighbours_there_is_no_figure(data: Dataset) -> None:
    found = measure_hardness(model([0.0] * ITEMS), data, neighbours({}, []), seed=0)
    assert set(found.by_sampler) == {"uniform", "dns", "mixgcf"}
    assert np.isnan(found.by_modality).all()
