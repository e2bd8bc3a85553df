"""A simulated home and gift shop whose causes of choice are known.

**Catalogue.** Item i has a shape, color, pattern and material. Shape, color and pattern are
uniform, the material is uniform over those that suit the shape. With probability κ (`confounding`)
the item is *aligned*, z_i = 1: its background follows its pattern, its photo style follows its
color and its brand follows its material (`shop_words.FOLLOWS`). Otherwise z_i = 0 and the three are
uniform and independent.

**Taste.** User u cares about a random set A_u of two or three causal attributes, and likes a random
set L_ua of two or three values of each a ∈ A_u:

    t_ui = (1 / |A_u|) Σ_{a ∈ A_u} 1[x_ia ∈ L_ua]    ∈ [0, 1]

**Log.** A user picks n_u different items one after another (Plackett-Luce), and sees popular
brands, lucky items and aligned items more often:

    P(u picks i) ∝ exp(β t_ui + log e_i),    log e_i = -½ log rank(brand_i) + ½ ε_i + ½ z_i

with β = 7, ε_i ~ N(0, 1) and n_u = 3 + a Poisson number whose rate is gamma distributed with mean
`interactions_per_user` - 3; n_u is at most half the items.

**Shifted.** The same users with the same tastes pick max(2, ⌊n_u / 3⌋) further items, with the
confounders' pull broken:

    P(u picks i) ∝ exp(β t_ui - 2 z_i),    items of u's log excluded

so that background, photo style and brand say little about what a user likes, while the causal
attributes say as much as before. (With κ = 1 every item is aligned and only popularity is broken.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.indexing import positions
from neggen.data.shop_words import (
    CAUSAL,
    FOLLOWS,
    MATERIALS_OF_SHAPE,
    VALUES,
    write_description,
    write_title,
)
from neggen.errors import NegGenError

TASTE = 7.0
ALIGNED_EXPOSURE = 0.5
ALIGNED_EXPOSURE_SHIFTED = -2.0
MISSING_SHARE = 0.03
FIRST_SECOND = 1_700_000_000
SECONDS_OF_LOG = 2 * 365 * 24 * 3600


@dataclass(frozen=True)
class Shop:
    """A simulated shop: what a recommender sees, and the truth behind it.

    Attributes:
        items: item_id, title, brand, description (or null), image (relative file name, or null).
        interactions: user_id, item_id, timestamp (Unix seconds): the log a recommender learns from.
        shifted: user_id, item_id: choices of the same users with the confounders broken; no pair
            is in the log.
        truth: item_id and one column per true attribute value: shape, color, pattern, material
            (causal), background, photo_style, brand (confounders).
        causal: user_id → the attributes that decide this user's choices.
        taste: t_ui, float64 ``[users, items]``, in the order of ``causal`` and of ``items``.
        seed: the seed the shop was made with; it also decides how pictures vary.
    """

    items: pl.DataFrame
    interactions: pl.DataFrame
    shifted: pl.DataFrame
    truth: pl.DataFrame
    causal: dict[str, tuple[str, ...]]
    taste: NDArray[np.float64]
    seed: int

    def dataset(self, image_dir: Path) -> Dataset:
        """Return the log and the catalogue as a data set, with ``shifted`` as a further test set.

        Args:
            image_dir: where :meth:`draw` has put the pictures.
        """
        data = Dataset.from_frames(self.interactions, self.items, image_dir)
        pairs = np.stack(
            [
                positions(self.shifted["user_id"], data.user_ids),
                positions(self.shifted["item_id"], data.item_ids),
            ],
            axis=1,
        )
        return data.replace(test_sets={"shifted": pairs})

    def draw(self, image_dir: Path) -> None:
        """Draw every item's picture (256x256 JPEG) into `image_dir`, which is created if need be.

        Args:
            image_dir: the folder that the `image` column of `items` is relative to.

        Raises:
            NegGenError: if the folder or a picture cannot be written.
        """
        from neggen.data.shop_drawing import Photographer

        photographer = Photographer()
        looks = self.truth.join(self.items.select("item_id", "image"), on="item_id")
        try:
            image_dir.mkdir(parents=True, exist_ok=True)
            for index, look in enumerate(looks.iter_rows(named=True)):
                if look["image"] is not None:
                    rng = np.random.default_rng([self.seed, index])
                    photo = photographer.shoot(look, rng)
                    photo.save(image_dir / look["image"], quality=88)
        except OSError as error:
            raise NegGenError(
                f"The shop's pictures cannot be written to {image_dir}: {error}; "
                "choose a folder you can write to, on a disk with room."
            ) from error


def make_shop(
    items: int = 600,
    users: int = 1200,
    seed: int = 0,
    confounding: float = 0.8,
    interactions_per_user: float = 14,
) -> Shop:
    """Simulate a shop; the same arguments always give the same shop.

    Args:
        items: number of items, at least 40.
        users: number of users, at least 1; memory grows with users x items (about 42 bytes each).
        seed: non-negative; the catalogue depends on `items`, `confounding` and it alone.
        confounding: κ ∈ [0, 1], the share of items whose confounders follow their causes.
        interactions_per_user: mean length of a user's log, from 3 to a quarter of `items`.

    Raises:
        NegGenError: if an argument is out of its range.
    """
    _check("items", items, 40, float("inf"))
    _check("users", users, 1, float("inf"))
    _check("seed", seed, 0, float("inf"))
    _check("confounding", confounding, 0, 1)
    _check("interactions_per_user", interactions_per_user, 3, items / 4)
    looks_rng, text_rng, taste_rng, log_rng, shifted_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)
    )
    truth, aligned = _draw_looks(items, confounding, looks_rng)
    user_ids = [f"u{index:05d}" for index in range(users)]
    taste, causal = _draw_tastes(truth, users, taste_rng)

    brand_rank = np.array([VALUES["brand"].index(brand) + 1 for brand in truth["brand"]])
    exposure = -0.5 * np.log(brand_rank) + 0.5 * log_rng.standard_normal(items)
    exposure += ALIGNED_EXPOSURE * aligned
    counts = _draw_counts(users, items, interactions_per_user, log_rng)
    picked = _pick_items(TASTE * taste + exposure, counts, log_rng)
    picked_users, picked_items = np.nonzero(picked)

    shifted_logits = TASTE * taste + ALIGNED_EXPOSURE_SHIFTED * aligned
    shifted_logits[picked] = -np.inf
    shifted = _pick_items(shifted_logits, np.maximum(2, counts // 3), shifted_rng)
    shifted_users, shifted_items = np.nonzero(shifted)

    user_column, item_column = np.array(user_ids), truth["item_id"].to_numpy()
    log = pl.DataFrame(
        {
            "user_id": user_column[picked_users],
            "item_id": item_column[picked_items],
            "timestamp": FIRST_SECOND + log_rng.integers(SECONDS_OF_LOG, size=len(picked_users)),
        }
    )
    return Shop(
        items=_write_items(truth, text_rng),
        interactions=log.sort("timestamp", "user_id", "item_id"),
        shifted=pl.DataFrame(
            {"user_id": user_column[shifted_users], "item_id": item_column[shifted_items]}
        ),
        truth=truth,
        causal=dict(zip(user_ids, causal, strict=True)),
        taste=taste,
        seed=seed,
    )


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise NegGenError(
            f"The shop's {name} is {value}, but must be at least {low:g}"
            + (f" and at most {high:g}." if high < float("inf") else ".")
        )


def _draw_looks(
    items: int, confounding: float, rng: np.random.Generator
) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """Draw every item's attribute values, and which items are aligned ([items])."""
    aligned = rng.random(items) < confounding
    rows = []
    for index in range(items):
        row = {"item_id": f"p{index:05d}"}
        row |= {attribute: str(rng.choice(VALUES[attribute])) for attribute in CAUSAL[:3]}
        row["material"] = str(rng.choice(MATERIALS_OF_SHAPE[row["shape"]]))
        for confounder, (cause, follows) in FOLLOWS.items():
            free = str(rng.choice(VALUES[confounder]))
            row[confounder] = follows[row[cause]] if aligned[index] else free
        rows.append(row)
    return pl.DataFrame(rows), aligned


def _draw_tastes(
    truth: pl.DataFrame, users: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], list[tuple[str, ...]]]:
    """Draw t_ui, of shape [users, items], and each user's causal attributes."""
    taste = np.zeros((users, truth.height))
    causal = []
    codes = {  # attribute → [items], the index of each item's value
        attribute: np.array([VALUES[attribute].index(value) for value in truth[attribute]])
        for attribute in CAUSAL
    }
    for user in range(users):
        cares = np.sort(rng.permutation(len(CAUSAL))[: rng.integers(2, 4)])
        for attribute in (CAUSAL[index] for index in cares):
            liked = rng.permutation(len(VALUES[attribute]))[: rng.integers(2, 4)]
            taste[user] += np.isin(codes[attribute], liked) / len(cares)
        causal.append(tuple(CAUSAL[index] for index in cares))
    return taste, causal


def _draw_counts(
    users: int, items: int, mean: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw n_u, of shape [users]; capped, so that the shifted set has items to choose from."""
    extra = rng.poisson(rng.gamma(shape=2.0, scale=(mean - 3) / 2.0, size=users))
    return np.minimum(3 + extra, items // 2)


def _pick_items(
    logits: NDArray[np.float64], counts: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Pick counts[u] different items for each user: Plackett-Luce, by the Gumbel top-k trick."""
    keys = logits + rng.gumbel(size=logits.shape)  # [users, items]
    order = np.argsort(-keys, axis=1)
    picked = np.zeros(logits.shape, dtype=bool)
    for user, count in enumerate(counts):
        picked[user, order[user, :count]] = True
    return picked


def _write_items(truth: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Write the texts; a few items lose their picture, a few others their description."""
    missing = int(np.ceil(MISSING_SHARE * truth.height))
    lacking = rng.permutation(truth.height)
    no_picture, no_text = set(lacking[:missing]), set(lacking[missing : 2 * missing])
    rows = []
    for index, item in enumerate(truth.iter_rows(named=True)):
        title, description = write_title(item, rng), write_description(item, rng)
        rows.append(
            {
                "item_id": item["item_id"],
                "title": title,
                "brand": item["brand"],
                "description": None if index in no_text else description,
                "image": None if index in no_picture else f"{item['item_id']}.jpg",
            }
        )
    return pl.DataFrame(rows)
