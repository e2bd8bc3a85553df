"""Measures of pictures in words, and the sentences those words stand in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neggen.generation.catalogue.attributes import Found
from neggen.generation.catalogue.pictures import Measures

SENTENCES = (
    "The picture shows something {proportions}, with {outline}, {symmetry} and mainly {color} with "
    "{accent}. It has {texture} and {lines}, and {size}, before {background} in {brightness}, "
    "{warmth} light with {saturation} colors and {contrast} contrast."
)
PLAIN = 18.0
"""Spread of the border's Lab colors under which a background is plain."""
LEADING_LINES = 0.3
"""Coherence of the gradients, 0 to 1, from which lines have a direction."""


def in_words(measures: Sequence[Measures]) -> list[Found]:
    """Name what was measured, ``[pictures]``, one value for every slot of ``SENTENCES``.

    Light and texture are named relative to the catalogue, by its terciles: "dark" is a picture
    among the darkest third.
    """
    words: dict[str, list[str]] = {
        "proportions": _thirds(
            [m.slenderness for m in measures],
            ("wide and low", "evenly proportioned", "tall and narrow"),
        ),
        "outline": [_outline(m) for m in measures],
        "symmetry": [_symmetry(m) for m in measures],
        "color": [m.color for m in measures],
        "accent": [f"{m.accent} touches" if m.accent else "no second color" for m in measures],
        "texture": _thirds(
            [m.texture for m in measures],
            ("a smooth surface", "a lightly patterned surface", "a busy surface"),
        ),
        "lines": [_lines(m) for m in measures],
        "size": _thirds(
            [m.area for m in measures],
            ("sits small in the frame", "takes up its share of the frame", "fills the frame"),
        ),
        "background": [
            f"a {'plain' if m.background_spread < PLAIN else 'mixed'} {m.background} background"
            for m in measures
        ],
        "brightness": _thirds([m.lightness for m in measures], ("dim", "even", "bright")),
        "warmth": _thirds([m.warmth for m in measures], ("cool", "neutral", "warm")),
        "saturation": _thirds([m.chroma for m in measures], ("muted", "natural", "vivid")),
        "contrast": _thirds([m.contrast for m in measures], ("soft", "moderate", "strong")),
    }
    return [[(slot, words[slot][index]) for slot in words] for index in range(len(measures))]


def _thirds(figures: list[float], names: tuple[str, str, str]) -> list[str]:
    edges = np.quantile(figures, [1 / 3, 2 / 3]) if figures else np.zeros(2)
    return [names[int(third)] for third in np.digitize(figures, edges)]


def _symmetry(measures: Measures) -> str:
    if measures.symmetry >= 0.85:
        return "symmetric"
    return "nearly symmetric" if measures.symmetry >= 0.65 else "lopsided"


def _outline(measures: Measures) -> str:
    if measures.extent >= 0.87:
        return "a boxy outline"
    return "a rounded outline" if measures.extent >= 0.66 else "an open, irregular outline"


def _lines(measures: Measures) -> str:
    if measures.coherence < LEADING_LINES:
        return "no leading lines"
    from_horizontal = min(measures.angle, 180.0 - measures.angle)
    if from_horizontal < 25:
        return "horizontal lines"
    return "upright lines" if from_horizontal > 65 else "slanting lines"
