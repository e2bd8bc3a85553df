"""What the simulated shop's attributes are called, and the shopkeeper who writes about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

VALUES: dict[str, tuple[str, ...]] = {
    "shape": ("mug", "teapot", "vase", "lamp", "plate", "candle", "cushion", "bag"),
    "color": ("terracotta", "mustard", "sage", "navy", "teal", "blush", "cream", "charcoal"),
    "pattern": ("plain", "striped", "dotted", "checked", "floral", "zigzag"),
    "material": ("ceramic", "glass", "metal", "wood", "linen", "leather"),
    "background": ("studio", "garden", "pastel", "table", "marble", "night"),
    "photo_style": ("warm", "cool", "vintage", "high_key"),
    "brand": ("Hearthside", "Lumen & Co", "Ironwell", "Fernholt", "Weft", "Oxbow"),
}
"""Every attribute of an item and the values it can take; brands in order of popularity."""

CAUSAL = ("shape", "color", "pattern", "material")
"""The attributes that users' tastes are about."""

MATERIALS_OF_SHAPE: dict[str, tuple[str, ...]] = {
    "mug": ("ceramic", "glass", "metal", "wood"),
    "teapot": ("ceramic", "glass", "metal"),
    "vase": ("ceramic", "glass", "metal", "wood"),
    "lamp": ("ceramic", "glass", "metal", "wood"),
    "plate": ("ceramic", "glass", "metal", "wood"),
    "candle": ("ceramic", "glass", "metal"),
    "cushion": ("linen", "leather"),
    "bag": ("linen", "leather"),
}

FOLLOWS: dict[str, tuple[str, dict[str, str]]] = {
    "background": ("pattern", dict(zip(VALUES["pattern"], VALUES["background"], strict=True))),
    "photo_style": (
        "color",
        {
            "terracotta": "warm",
            "mustard": "warm",
            "navy": "cool",
            "teal": "cool",
            "sage": "vintage",
            "blush": "vintage",
            "cream": "high_key",
            "charcoal": "high_key",
        },
    ),
    "brand": ("material", dict(zip(VALUES["material"], VALUES["brand"], strict=True))),
}
"""Confounder → (the causal attribute it follows, and the value it takes for each cause)."""

NAMES: dict[str, tuple[str, ...]] = {
    "mug": ("mug", "coffee mug", "tea cup"),
    "teapot": ("teapot", "tea pot", "teapot"),
    "vase": ("vase", "flower vase", "bud vase"),
    "lamp": ("table lamp", "bedside lamp", "lamp"),
    "plate": ("plate", "dinner plate", "serving plate"),
    "candle": ("candle", "scented candle", "jar candle"),
    "cushion": ("cushion", "throw pillow", "sofa cushion"),
    "bag": ("tote bag", "shopper", "bag"),
    "terracotta": ("terracotta", "burnt orange", "clay red"),
    "mustard": ("mustard", "golden yellow", "ochre"),
    "sage": ("sage", "muted green", "sage green"),
    "navy": ("navy", "deep blue", "midnight blue"),
    "teal": ("teal", "blue-green", "petrol"),
    "blush": ("blush", "soft pink", "dusty rose"),
    "cream": ("cream", "off-white", "ivory"),
    "charcoal": ("charcoal", "dark gray", "graphite"),
    "plain": ("plain", "solid-color", "unpatterned"),
    "striped": ("striped", "banded", "stripy"),
    "dotted": ("dotted", "polka-dot", "spotted"),
    "checked": ("checked", "gingham", "checkered"),
    "floral": ("floral", "flowered", "blossom-print"),
    "zigzag": ("zigzag", "chevron", "zigzag"),
    "ceramic": ("ceramic", "stoneware", "glazed ceramic"),
    "glass": ("glass", "blown glass", "tinted glass"),
    "metal": ("metal", "brushed metal", "steel"),
    "wood": ("wood", "turned wood", "beech wood"),
    "linen": ("linen", "woven linen", "washed linen"),
    "leather": ("leather", "stitched leather", "full-grain leather"),
}
"""What the shopkeeper may call each value of a causal attribute."""

_SENTENCES: dict[str, tuple[str, ...]] = {
    "shape": (
        "Meet the {} you will reach for every day.",
        "As a {}, it earns its place.",
        "A {} made to be given away, or kept.",
    ),
    "color": (
        "The color is {}.",
        "Finished in {}, it sits well with neutral rooms.",
        "We chose {} because it holds its tone in any light.",
    ),
    "pattern": (
        "The design is {}.",
        "Look closer and you see the {} decoration.",
        "Its {} look was drawn in our own workshop.",
    ),
    "material": (
        "Made of {}.",
        "Each piece is {}, finished by hand.",
        "Good {} ages well, and so will this.",
    ),
}

# A brand's own voice is a confounder too: it says nothing about the item.
_VOICES: dict[str, str] = {
    "Hearthside": "From our hearth to yours, with love.",
    "Lumen & Co": "Lumen & Co: made for bright mornings.",
    "Ironwell": "Built the Ironwell way. No fuss.",
    "Fernholt": "Fernholt plants a tree for every order.",
    "Weft": "Slow living, by the people at Weft.",
    "Oxbow": "An Oxbow piece carries a ten-year promise.",
}

_NOISE = (
    "Ships within two working days.",
    "Free returns within 30 days.",
    "Wipe clean with a soft, damp cloth.",
    "Comes in a recycled gift box.",
    "Small variations are part of the charm.",
    "Weight and size may differ slightly from the listing.",
    "A favorite for housewarmings and birthdays.",
    "Keep away from direct heat.",
    "Gift wrapping is available at checkout.",
)


def write_title(item: Mapping[str, str], rng: np.random.Generator) -> str:
    """Name the product kind and, each with probability ½, its color, pattern and material."""
    words = [
        _say(item[attribute], rng)
        for attribute in ("color", "pattern", "material")
        if rng.random() < 0.5
    ]
    title = " ".join([*words, _say(item["shape"], rng)])
    return title[0].upper() + title[1:]


def write_description(item: Mapping[str, str], rng: np.random.Generator) -> str:
    """Write three to eight sentences: most causal attributes, the brand's voice, shop noise."""
    named = [attribute for attribute in CAUSAL if rng.random() < 0.75]
    told = [
        _pick(_SENTENCES[attribute], rng).format(_say(item[attribute], rng)) for attribute in named
    ]
    noise = [_NOISE[index] for index in rng.permutation(len(_NOISE))[: rng.integers(2, 4)]]
    if rng.random() < 0.7:
        noise.append(_VOICES[item["brand"]])
    sentences = told + noise
    return " ".join(sentences[index] for index in rng.permutation(len(sentences)))


def _say(value: str, rng: np.random.Generator) -> str:
    return _pick(NAMES[value], rng)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
