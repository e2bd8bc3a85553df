"""The simulated shop: what it promises about its frames, its causes and its shift."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neggen.data.shop import Shop, make_shop
from neggen.data.shop_words import CAUSAL, FOLLOWS, MATERIALS_OF_SHAPE, VALUES
from neggen.errors import NegGenError

CONFOUNDERS = tuple(FOLLOWS)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop()


@pytest.fixture(scope="module")
def matrices(shop: Shop) -> dict[str, NDArray[np.float64]]:
    """Training and held-out log ([users, items]; a random fifth of each user's), and the shift."""
    rng = np.random.default_rng(0)
    user_of = {user: row for row, user in enumerate(shop.causal)}
    item_of = {item: column for column, item in enumerate(shop.items["item_id"])}

    def matrix(frame: pl.DataFrame) -> NDArray[np.float64]:
        filled = np.zeros((len(user_of), len(item_of)))
        for user, item in frame.select("user_id", "item_id").iter_rows():
            filled[user_of[user], item_of[item]] = 1
        return filled

    log = matrix(shop.interactions)
    draws = np.where(log > 0, rng.random(log.shape), 2.0)
    held = np.argsort(np.argsort(draws, axis=1), axis=1) < np.round(0.2 * log.sum(1, keepdims=True))
    test = log * held
    return {"train": log - test, "test": test, "shifted": matrix(shop.shifted)}


def recall_at_20(
    scores: NDArray[np.float64], train: NDArray[np.float64], wanted: NDArray[np.float64]
) -> float:
    top = np.argsort(-np.where(train > 0, -np.inf, scores), axis=1)[:, :20]
    hits = np.take_along_axis(wanted, top, axis=1).sum(axis=1)
    return float(np.mean(hits / np.maximum(wanted.sum(axis=1), 1)))


def content_scores(
    shop: Shop, train: NDArray[np.float64], attributes: tuple[str, ...]
) -> NDArray[np.float64]:
    """Score by the overlap with the user's mean one-hot profile over these attributes."""
    features = np.concatenate(
        [
            np.array(VALUES[name])[None] == shop.truth[name].to_numpy()[:, None]
            for name in attributes
        ],
        axis=1,
    ).astype(float)
    features -= features.mean(axis=0)
    return train @ features @ features.T


def test_same_arguments_give_the_same_shop() -> None:
    first, second, other = (
        make_shop(60, 20, seed=seed, interactions_per_user=8) for seed in (3, 3, 4)
    )
    for name in ("items", "interactions", "shifted", "truth"):
        assert getattr(first, name).equals(getattr(second, name))
        assert not getattr(first, name).equals(getattr(other, name))
    assert first.causal == second.causal


def test_the_catalogue_does_not_depend_on_the_users() -> None:
    few, many = make_shop(60, 5), make_shop(60, 50)
    assert few.items.equals(many.items)
    assert few.truth.equals(many.truth)


def test_frames_have_the_promised_columns(shop: Shop) -> None:
    assert shop.items.columns == ["item_id", "title", "brand", "description", "image"]
    assert shop.interactions.columns == ["user_id", "item_id", "timestamp"]
    assert shop.interactions.schema["timestamp"] == pl.Int64
    assert shop.shifted.columns == ["user_id", "item_id"]
    assert shop.truth.columns == ["item_id", *CAUSAL, *CONFOUNDERS]
    assert shop.items["item_id"].is_unique().all()
    assert shop.items["title"].null_count() == 0


def test_a_few_items_lack_a_picture_and_a_few_others_a_description(shop: Shop) -> None:
    no_picture, no_text = shop.items["image"].is_null(), shop.items["description"].is_null()
    assert no_picture.sum() == no_text.sum() == 18  # 3% of 600
    assert not (no_picture & no_text).any()


@settings(max_examples=15, deadline=None)
@given(
    items=st.integers(40, 90),
    users=st.integers(1, 30),
    seed=st.integers(0, 2**32),
    confounding=st.floats(0, 1),
    per_user=st.floats(3, 10),
)
def test_any_shop_is_consistent(
    items: int, users: int, seed: int, confounding: float, per_user: float
) -> None:
    shop = make_shop(items, users, seed, confounding, per_user)
    log = shop.interactions.select("user_id", "item_id")
    assert log.is_unique().all()
    assert shop.shifted.is_unique().all()
    assert shop.shifted.join(log, on=["user_id", "item_id"]).is_empty()
    assert set(log["user_id"]) == set(shop.shifted["user_id"]) == set(shop.causal)
    assert set(log["item_id"]) <= set(shop.items["item_id"])
    assert log.group_by("user_id").len()["len"].min() >= 3
    for item in shop.truth.iter_rows(named=True):
        assert all(item[name] in VALUES[name] for name in VALUES)
        assert item["material"] in MATERIALS_OF_SHAPE[item["shape"]]
    for causes in shop.causal.values():
        assert set(causes) <= set(CAUSAL)
        assert 2 <= len(causes) <= 3


def agreement(truth: pl.DataFrame, confounder: str) -> float:
    """Share of rows whose confounder has the value that follows from its cause."""
    cause, follows = FOLLOWS[confounder]
    return float((truth[cause].replace_strict(follows) == truth[confounder]).mean())  # type: ignore[arg-type]


@pytest.mark.parametrize("confounding", [0.0, 0.5, 1.0])
def test_confounding_sets_how_often_a_confounder_follows_its_cause(confounding: float) -> None:
    truth = make_shop(2000, 1, confounding=confounding).truth
    for confounder in CONFOUNDERS:
        expected = confounding + (1 - confounding) / len(VALUES[confounder])
        assert agreement(truth, confounder) == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("confounder", CONFOUNDERS)
def test_the_shift_breaks_the_confounders(shop: Shop, confounder: str) -> None:
    in_log = agreement(shop.interactions.join(shop.truth, on="item_id"), confounder)
    in_shift = agreement(shop.shifted.join(shop.truth, on="item_id"), confounder)
    assert in_log > 0.8
    assert in_shift < 0.55


@pytest.mark.parametrize("attribute", CAUSAL)
def test_users_concentrate_on_the_attributes_they_care_about(shop: Shop, attribute: str) -> None:
    """Without tastes the two concentrations would be equal, up to noise of a few percent."""
    chosen = shop.shifted.join(shop.truth, on="item_id")
    concentration: dict[bool, list[float]] = {True: [], False: []}
    for (user,), rows in chosen.group_by("user_id"):
        share = rows[attribute].unique_counts().to_numpy() / rows.height
        concentration[attribute in shop.causal[str(user)]].append(float(np.sum(share**2)))
    assert np.mean(concentration[True]) > 1.2 * np.mean(concentration[False])


def test_taste_follows_from_a_users_causes_alone(shop: Shop) -> None:
    """A sum of a share for every cause that is met: exactly linear in what the causes are."""
    for taste, causes in list(zip(shop.taste, shop.causal.values(), strict=True))[:50]:
        is_value = [
            np.array(VALUES[name])[None] == shop.truth[name].to_numpy()[:, None] for name in causes
        ]
        ones = np.concatenate(is_value, axis=1).astype(float)  # [items, values]
        weights, *_ = np.linalg.lstsq(ones, taste)
        np.testing.assert_allclose(ones @ weights, taste, atol=1e-9)
        np.testing.assert_allclose(taste * len(causes), np.rint(taste * len(causes)), atol=1e-9)
        assert taste.max() > 0.5


def test_collaborative_filtering_beats_popularity_on_the_log(
    matrices: dict[str, NDArray[np.float64]],
) -> None:
    train, test = matrices["train"], matrices["test"]
    norms = np.sqrt(np.maximum(train.sum(axis=0), 1))
    similarity = train.T @ train / np.outer(norms, norms)
    np.fill_diagonal(similarity, 0)
    neighbors = recall_at_20(train @ similarity, train, test)
    popularity = recall_at_20(np.tile(train.sum(axis=0), (len(train), 1)), train, test)
    assert neighbors > 1.5 * popularity > 3 * 20 / train.shape[1]


def test_causes_hold_under_the_shift_where_confounders_fail(
    shop: Shop, matrices: dict[str, NDArray[np.float64]]
) -> None:
    train = matrices["train"]
    causes = content_scores(shop, train, CAUSAL)
    confounders = content_scores(shop, train, CONFOUNDERS)
    both = content_scores(shop, train, CAUSAL + CONFOUNDERS)
    kept = {
        name: recall_at_20(scores, train, matrices["shifted"])
        / recall_at_20(scores, train, matrices["test"])
        for name, scores in (("causes", causes), ("confounders", confounders), ("both", both))
    }
    assert kept["causes"] > 0.75
    assert kept["confounders"] < 0.65
    assert kept["confounders"] < kept["causes"] - 0.2
    assert kept["both"] < kept["causes"] - 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"items": 10}, "items is 10, but must be at least 40"),
        ({"users": 0}, "users is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"confounding": 1.5}, "confounding is 1.5, but must be at least 0 and at most 1"),
        ({"confounding": float("nan")}, "confounding is nan"),
        ({"items": 100, "interactions_per_user": 30}, "at most 25"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(NegGenError, match=message):
        make_shop(**arguments)  # type: ignore[arg-type]
