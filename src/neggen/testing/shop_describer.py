"""An ideal describer for the built-in shop: it sees the truth and masks what causes choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neggen.data.shop_words import CAUSAL, MATERIALS_OF_SHAPE, NAMES, VALUES
from neggen.data.vectors import ItemVectors
from neggen.encoding.text import TextEncoder

Look = Mapping[str, str]
"""The value of every attribute of an item, such as ``shape`` → ``mug``; a row of ``Shop.truth``."""

PICTURE = "The photo shows a {pattern} {color} {shape} of {material}, {background}. {photo_style}."
TEXT = (
    "{pattern} {color} {shape}, made of {material}. "
    "The brand is {brand}, known to people who furnish with care."
)
CONTEXT = {
    "studio": "in front of a seamless gray studio backdrop",
    "garden": "outdoors, among the green leaves of a garden",
    "pastel": "against a wall in soft pastel tones",
    "table": "on a rustic wooden table",
    "marble": "on a slab of white marble",
    "night": "before a dark night sky",
    "warm": "The light is warm and golden, like late afternoon sun",
    "cool": "The light is cool and bluish, like an overcast morning",
    "vintage": "The photo has the faded look of vintage film",
    "high_key": "The photo is bright and high-key, almost without shadows",
}
"""How backgrounds and photo styles are told."""


class IdealDescriber:
    """Names all seven attributes of an item, and exchanges exactly the four causal ones.

    It stands for a perfect language model, so that what a model makes of descriptions can be told
    apart from how good they are.
    """

    def __init__(self, seed: int, encoder: TextEncoder, completions: int = 2) -> None:
        """Choose.

        Args:
            seed: seeds the wording and the negatives of every item.
            encoder: encodes what is written.
            completions: negatives of a description.
        """
        self._seed, self._encoder, self._completions = seed, encoder, completions

    def describe(self, looks: Sequence[Look], items: Sequence[int]) -> ItemVectors:
        """Describe and encode the pictures and texts of items.

        Args:
            looks: what each item looks like.
            items: number of each item. The same item with another context keeps its words and its
                negatives but for that context.

        Returns:
            Vectors of the modalities ``image`` and ``text``, all there, in the order of ``looks``.
        """
        written = [
            text
            for look, item in zip(looks, items, strict=True)
            for text in self._write(look, np.random.default_rng([self._seed, item]))
        ]
        encoded = self._encoder.encode(written)
        vectors = encoded.reshape(len(looks), 1 + self._completions, 2, -1)
        mask = np.ones((len(looks), 2), dtype=np.bool_)
        return ItemVectors(("image", "text"), vectors[:, 0], vectors[:, 1:], mask)

    def _write(self, look: Look, rng: np.random.Generator) -> list[str]:
        """Write picture and text of the item, then of every completion."""
        context = {name: CONTEXT.get(value, value) for name, value in look.items()}
        written = []
        for causes in (look, *(contrast(look, rng) for _ in range(self._completions))):
            words = {name: str(rng.choice(NAMES[causes[name]])) for name in CAUSAL}
            written += [each.format(**{**context, **words}) for each in (PICTURE, TEXT)]
        return written


def contrast(look: Look, rng: np.random.Generator) -> Look:
    """Draw another value for every causal attribute; the material suits the shape."""
    drawn = {name: another(VALUES[name], look[name], rng) for name in CAUSAL[:3]}
    suitable = MATERIALS_OF_SHAPE[drawn["shape"]]
    return drawn | {"material": another(suitable, look["material"], rng)}


def another(values: Sequence[str], than: str, rng: np.random.Generator) -> str:
    """Draw one of the other values."""
    return str(rng.choice([value for value in values if value != than]))
