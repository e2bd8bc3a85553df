"""The shop's ideal describer: causes are exchanged, the context stays and cancels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neggen.data.shop import make_shop
from neggen.data.shop_words import CAUSAL, FOLLOWS, MATERIALS_OF_SHAPE, VALUES
from neggen.data.vectors import ItemVectors
from neggen.encoding.text import TextEncoder
from neggen.testing.shop_describer import IdealDescriber, Look, another, contrast

SHOP = make_shop(40, 1, interactions_per_user=5)
LOOKS: Sequence[Look] = SHOP.truth.to_dicts()[:2]


def effect(vectors: ItemVectors) -> NDArray[np.float32]:
    """x⁺ − mean x⁻, ``[items, modalities, d]``."""
    found: NDArray[np.float32] = vectors.positive - vectors.negative.mean(axis=1)
    return found


def test_a_contrast_differs_in_every_cause_and_could_exist() -> None:
    rng = np.random.default_rng(0)
    for look in SHOP.truth.iter_rows(named=True):
        other = contrast(look, rng)
        assert set(other) == set(CAUSAL)
        assert all(other[name] != look[name] for name in CAUSAL)
        assert other["material"] in MATERIALS_OF_SHAPE[other["shape"]]


def test_another_context_changes_the_description_and_hardly_the_effect() -> None:
    describer, items = IdealDescriber(0, TextEncoder(), completions=1), list(range(len(LOOKS)))
    before = describer.describe(LOOKS, items)
    assert before.positive.shape == (len(LOOKS), 2, 384)
    assert before.negative.shape == (len(LOOKS), 1, 2, 384)
    rng = np.random.default_rng(0)
    left: dict[str, float] = {}  # of a change of the description, in the effect
    for name in VALUES:
        looks = [{**look, name: another(VALUES[name], look[name], rng)} for look in LOOKS]
        after = describer.describe(looks, items)
        told = np.linalg.norm(after.positive - before.positive)
        left[name] = float(np.linalg.norm(effect(after) - effect(before)) / told)
    assert max(left[name] for name in FOLLOWS) < 0.6
    assert min(left[name] for name in CAUSAL) > 0.9
