"""Replacements that mean nearly the same as their value, told by the text encoder.

Words that both phrases share say nothing about their difference and are set aside first, or "20
sheets" and "160 sheets" would look like synonyms: all recorded pairs with a cosine over 0.85 are
such contrasts.

What a bound can do is limited, because an encoder puts what is talked about alike close together,
and so opposites and members of a series too: with all-MiniLM-L6-v2 "left-handed" and
"right-handed" have a cosine of 0.97, "cheap" and "expensive" 0.80, "red" and "blue" 0.73, "red" and
"crimson" 0.51. The common opposites are therefore known by name. On 70 pairs of synonyms and 70 of
contrasts over colors, genres, materials and tools, on 50 opposites and other near contrasts
("coffee", "tea"), and on 32,627 pairs that a frontier model wrote for films and office products:

=====  ==================  ==================  ==================  ==================
bound  70 synonyms found   70 contrasts lost   50 near ones lost   written pairs lost
=====  ==================  ==================  ==================  ==================
0.6    32                  2                   10                  16
0.7    21                  1                   2                   1
0.8    12                  0                   0                   0
=====  ==================  ==================  ==================  ==================

The default loses next to nothing, and finds one in six: a red mug that becomes crimson passes.
"""

from __future__ import annotations

import copy
import re
import threading
from functools import cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neggen.encoding.text import TextEncoder
from neggen.generation.likeness import words
from neggen.generation.records import InvalidAnswer, Record

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BOUND = 0.8
"""Cosine, for all-MiniLM-L6-v2; another encoder needs its own."""
_OPPOSITES = frozenset(
    frozenset(words(pair))
    for pair in re.split(
        ", ",
        "adult child, adult children, ancient modern, analog digital, big little, big small, "
        "bitter sweet, black white, bold shy, boy girl, bright dark, bright dim, brother sister, "
        "cheap costly, cheap expensive, clean dirty, coarse fine, cold hot, comic tragic, complex "
        "simple, cool warm, corded cordless, curved straight, dark light, day night, deep "
        "shallow, dry wet, dull sharp, early late, east west, easy hard, empty full, fast slow, "
        "fat thin, father mother, female male, few many, flat round, flexible rigid, flimsy "
        "sturdy, formal casual, front back, fragile sturdy, glossy matte, hard soft, hardcover "
        "paperback, heavy light, high low, hot cool, husband wife, indoor outdoor, inside "
        "outside, inner outer, king queen, large small, left right, lined blank, long short, "
        "loose tight, loud quiet, man woman, manual automatic, men women, modern old, narrow "
        "wide, new old, new used, noisy quiet, north south, old young, opaque transparent, open "
        "closed, permanent temporary, plain ornate, poor rich, private public, rough smooth, "
        "rural urban, sad happy, serious funny, single double, son daughter, strong weak, summer "
        "winter, tall short, thick thin, top bottom, uncle aunt, upper lower, wired wireless",
    )
)
REMEMBERED = 20_000
"""Phrases whose vectors are kept, 1.5 kB each."""


class SynonymScreen:
    """Refuses records in which a replacement is close to a synonym of its value.

    Verdicts do not depend on what else is screened: every phrase is encoded by itself, in float32
    on the CPU, whatever the encoder's own type and batches. May be called from several threads.
    """

    def __init__(self, encoder: TextEncoder, bound: float = BOUND) -> None:
        """Keep the encoder; a float32 copy of it is made when first used.

        Args:
            encoder: its weights decide.
            bound: the cosine, from -1 to 1, over which a replacement is refused.
        """
        self.bound = bound
        self._encoder = encoder
        self._lock = threading.Lock()
        self._vector = lru_cache(REMEMBERED)(self._encode)

    def __call__(self, record: Record) -> None:
        """Let a record pass.

        Raises:
            InvalidAnswer: If the cosine of a value and its replacement is over the bound.
        """
        for value, replacement in zip(record.values, record.replacements, strict=True):
            if self.cosine(value, replacement) > self.bound:
                raise InvalidAnswer(
                    "synonym",
                    f"The replacement {replacement!r} of {value!r} means nearly the same; write "
                    "one that somebody who wants the other would not want.",
                )

    def cosine(self, value: str, replacement: str) -> float:
        """Return the cosine of what two phrases do not share, or of all if one is in the other.

        Phrases set apart by a pair of common opposites have none: -1.
        """
        mine, other = _unshared(value, replacement), _unshared(replacement, value)
        if any(frozenset(pair) in _OPPOSITES for pair in product(words(mine), words(other))):
            return -1.0
        if not mine or not other:
            mine, other = value, replacement
        return float(self._vector(mine) @ self._vector(other))

    @cached_property
    def _model(self) -> SentenceTransformer:
        return copy.deepcopy(self._encoder._model).to(device="cpu").float()

    def _encode(self, phrase: str) -> NDArray[np.float32]:
        with self._lock:
            vector = self._model.encode([phrase], convert_to_numpy=True, show_progress_bar=False)[0]
        unit: NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return unit


def _unshared(phrase: str, other: str) -> str:
    """Return the words of ``phrase`` that ``other`` has in no form, as they are written."""
    shared = set(words(other))
    kept = [word for word in phrase.split() if not shared.issuperset(words(word))]
    return " ".join(kept)
