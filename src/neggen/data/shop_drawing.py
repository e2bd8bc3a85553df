"""The shop's photographer: puts a painted product into a room and develops the picture."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from neggen.data.shop_forms import FLOOR, FORMS_OF_SHAPE, build_form
from neggen.data.shop_materials import Materials
from neggen.data.shop_patterns import Pattern, make_pattern
from neggen.data.shop_scenes import PICTURE, ROOM, VARIANTS, build_room, develop
from neggen.data.shop_solids import Field, Surface

REFLECTING = {"studio": 0.10, "marble": 0.22, "night": 0.30}
FLOOR_ROW = int((FLOOR + 1) / 2 * PICTURE)


class Photographer:
    """Draws products from their attribute values; builds each form and each room only once."""

    def __init__(self) -> None:
        """Start with nothing built."""
        self._materials = Materials()
        self._form = lru_cache(maxsize=None)(build_form)
        self._room = lru_cache(maxsize=None)(build_room)

    def shoot(self, look: Mapping[str, str], rng: np.random.Generator) -> Image.Image:
        """Photograph one item.

        Args:
            look: the item's true values: shape, color, pattern, material, background, photo_style.
            rng: varies form, framing, pattern and room; the same state gives the same picture.

        Returns:
            A picture of PICTURE x PICTURE pixels.
        """
        parts = self._form(look["shape"], int(rng.integers(FORMS_OF_SHAPE)))
        pattern = make_pattern(look["pattern"], look["color"], rng)
        product = self._paint(parts, look["material"], pattern)
        room = self._room(look["background"], int(rng.integers(VARIANTS)))
        top = (ROOM - PICTURE) // 2 + int(rng.integers(-6, 7))
        left = int(rng.integers(ROOM - PICTURE + 1))
        scene = room[top : top + PICTURE, left : left + PICTURE]
        if rng.random() < 0.5:
            scene = scene[:, ::-1]
        photo = _place(scene, product, REFLECTING.get(look["background"], 0.0))
        photo = develop(photo, look["photo_style"], rng)
        return Image.fromarray((np.clip(photo, 0, 1) * 255 + 0.5).astype(np.uint8))

    def _paint(self, parts: list[Surface], material: str, pattern: Pattern) -> Field:
        """Stack the surfaces: [PICTURE, PICTURE, 4], color already multiplied by opacity."""
        canvas = np.zeros((PICTURE, PICTURE, 4), np.float32)
        for part in parts:
            color, opacity = self._materials.paint(part, material, pattern)
            opacity = (opacity * part.cover)[..., None]
            layer = np.concatenate([np.clip(color, 0, 1) * opacity, opacity], axis=-1)
            # Averaging 2 x 2 pixels into one smooths every edge.
            pairs = layer[::2] + layer[1::2]
            layer = (pairs[:, ::2] + pairs[:, 1::2]) / 4
            top, bottom, left, right = (edge // 2 for edge in part.box)
            area = canvas[top:bottom, left:right]
            area *= 1 - layer[..., 3:]
            area += layer
        return canvas


def _place(scene: Field, product: Field, reflecting: float) -> Field:
    """Lay shadow, reflection and product over the scene."""
    alpha = product[..., 3]
    photo = scene * (1 - _shadow(alpha))[..., None]
    if reflecting:
        depth = PICTURE - FLOOR_ROW
        mirror = gaussian_filter(product[FLOOR_ROW - depth : FLOOR_ROW][::-1], (1.6, 0.8, 0))
        mirror *= np.linspace(1, -0.8, depth, dtype=np.float32).clip(0)[:, None, None] * reflecting
        photo[FLOOR_ROW:] = photo[FLOOR_ROW:] * (1 - mirror[..., 3:]) + mirror[..., :3]
    return photo * (1 - alpha[..., None]) + product[..., :3]


def _shadow(alpha: Field) -> Field:
    """The product's shadow: its outline laid on the floor to the right, and a dark contact line."""
    # Row r of the shadow shows the outline's row FLOOR_ROW - height, moved right with that height.
    squash, shear = 0.30, 0.57
    outline = Image.fromarray((alpha * 255).astype(np.uint8))
    slope, lean = 1 / squash, shear / squash
    lay_down = (1, lean, -lean * FLOOR_ROW, 0, slope, FLOOR_ROW * (1 - slope))
    laid = outline.transform(outline.size, Image.Transform.AFFINE, lay_down)
    cast = np.asarray(laid.filter(ImageFilter.GaussianBlur(5)), np.float32) / 255 * 0.34
    line = np.zeros((PICTURE, PICTURE), np.uint8)
    line[FLOOR_ROW - 4 : FLOOR_ROW + 3] = alpha[FLOOR_ROW - 14 : FLOOR_ROW + 1].max(axis=0) * 255
    near = Image.fromarray(line).filter(ImageFilter.GaussianBlur((4, 3)))
    return np.clip(cast + np.asarray(near, np.float32) / 255 * 0.62, 0, 0.8)
