"""How the shop's materials answer the light: shading, sheen, grain, weave and translucency."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from neggen.data.shop_patterns import Pattern
from neggen.data.shop_solids import SIZE, Field, Surface

LIGHT = np.array([-0.52, -0.58, 0.63], np.float32)  # from the upper left, towards the viewer
HALFWAY = np.array([-0.288, -0.321, 0.902], np.float32)  # between the light and the viewer
WOOD = np.array([0.70, 0.50, 0.32], np.float32)
WAX = np.array([0.97, 0.93, 0.84], np.float32)
STEM = np.array([0.42, 0.47, 0.28], np.float32)
LAMP_LIGHT = np.array([1.0, 0.86, 0.62], np.float32)
FLAME_EDGE = np.array([1.0, 0.66, 0.22], np.float32)
FLAME_HEART = np.array([1.0, 0.97, 0.82], np.float32)


class Materials:
    """Paints surfaces. Holds noise fields that are costly to make, all from one fixed seed."""

    def __init__(self) -> None:
        """Make the noise fields: grain, weave, pebbles, brush strokes."""
        rng = np.random.default_rng(20_250_115)
        self._fine = _noise(rng, (0.6, 0.6))
        self._soft = _noise(rng, (14, 14))
        self._threads_across = _noise(rng, (0.5, 9))
        self._threads_down = _noise(rng, (9, 0.5))
        self._pebbles = _noise(rng, (1.7, 1.7))
        self._brushed = _noise(rng, (0.5, 26))
        self._grain = _noise(rng, (1.0, 40))

    def paint(self, part: Surface, material: str, pattern: Pattern) -> tuple[Field, Field]:
        """Paint one surface.

        Args:
            part: the surface, of shape [height, width].
            material: a value of the `material` attribute.
            pattern: the item's pattern and colors.

        Returns:
            Color [height, width, 3] and opacity [height, width], each from 0 to 1.
        """
        normal = part.normal
        facing = np.clip(normal @ LIGHT, 0, 1)
        diffuse = 0.42 + 0.70 * facing  # [height, width]
        opaque = np.ones_like(part.cover)
        match part.finish:
            case "wax":
                return _lit(WAX, 0.72 + 0.33 * facing), opaque
            case "stem":
                return _lit(STEM, diffuse), opaque
            case "peg":
                return _lit(WOOD * 0.62, diffuse), opaque
            case "band":
                return _lit(pattern.base * 0.55, diffuse), opaque
            case "flame":
                return _flame(part), opaque * 0.96
            case "glow":
                return LAMP_LIGHT + 0 * normal, opaque
            case "shade":
                return _lamp_shade(part, pattern), opaque
            case "inside":
                plain = np.broadcast_to(pattern.base, normal.shape)
                color, opacity = self._cover(part, material, plain, pattern.base)
                depth = 0.42 + 0.36 * facing if material != "glass" else 0.75 + 0.3 * facing
                return _lit(color, depth), opacity * (0.45 if material == "glass" else 1.0)
        if part.finish == "body":
            painted = pattern.paint(part.across, part.along)
        else:
            painted = np.broadcast_to(pattern.base, normal.shape)
        color, opacity = self._cover(part, material, painted, pattern.base)
        return self._light(part, material, color, diffuse), opacity

    def _cover(
        self, part: Surface, material: str, paint: Field, ground: Field
    ) -> tuple[Field, Field]:
        """The unlit color ([h, w, 3]) and opacity of a painted material; `ground` is unpainted."""
        opaque = np.ones_like(part.cover)
        if material == "wood":
            rings = np.sin(part.along * 60 + self._crop(self._soft, part) * 5)
            grain = 0.93 + 0.05 * rings + 0.12 * self._crop(self._grain, part)
            return paint * (0.72 + 0.55 * WOOD) * grain[..., None], opaque
        if material == "linen":
            weave = 1 + 0.055 * self._crop(self._threads_across, part)
            weave = weave + 0.055 * self._crop(self._threads_down, part)
            grid = np.sin(part.across * 260) * np.sin(part.along * 260)
            return paint * (weave + 0.06 * grid)[..., None], opaque
        if material == "leather":
            return paint * (0.90 + 0.025 * self._crop(self._soft, part))[..., None], opaque
        if material == "metal":
            steel = np.array([0.66, 0.67, 0.70], np.float32)
            return paint * 0.74 + steel * 0.26, opaque
        if material == "glass":
            # Glass is clearest where seen straight on and gathers color towards its edges.
            edge = 1 - part.normal[..., 2]
            decor = np.clip(np.abs(paint - ground).sum(axis=-1), 0, 1)
            return paint, np.clip(0.40 + 0.50 * edge**1.5 + 0.4 * decor, 0, 0.97)
        return paint, opaque

    def _light(self, part: Surface, material: str, color: Field, diffuse: Field) -> Field:
        normal = part.normal
        glance = np.clip(normal @ HALFWAY, 0, 1)
        side = normal[..., 0]
        if material == "ceramic":
            rim = np.clip(normal[..., 0], 0, 1) ** 4 * 0.10
            return _lit(color, diffuse, 0.62 * glance**70 + 0.10 * glance**9 + rim)
        if material == "glass":
            streak = np.exp(-(((side + 0.62) / 0.07) ** 2))
            streak = streak + 0.5 * np.exp(-(((side - 0.76) / 0.04) ** 2))
            glow = 0.16 * np.clip(side, 0, 1) ** 2  # light gathers on the far side
            shine = 0.55 * streak * (normal[..., 2] > 0.2) + 0.8 * glance**120 + glow
            return _lit(color, 0.72 + 0.32 * diffuse, shine)
        if material == "metal":
            bands = 0.66 + 0.26 * np.sin(side * 6.2 + 2.4) + 0.14 * np.sin(side * 13 + 0.6)
            bands = bands + 0.035 * self._crop(self._brushed, part) - 0.12 * normal[..., 1]
            shine = 0.75 * np.exp(-(((side + 0.42) / 0.10) ** 2)) + 0.5 * glance**40
            return _lit(color, 0.30 + 0.72 * bands, 0.42 * shine)
        if material == "leather":
            bumps = self._crop(self._pebbles, part)
            shine = 0.17 * glance**10 * (1 + 0.22 * bumps)
            return _stitch(_lit(color, diffuse * (1 + 0.035 * bumps), shine), part)
        if material == "linen":
            return _lit(color, diffuse * 1.02 + 0.03 * self._crop(self._fine, part))
        return _lit(color, diffuse, 0.14 * glance**14)

    def _crop(self, field: Field, part: Surface) -> Field:
        top, bottom, left, right = part.box
        return field[top:bottom, left:right]


def _noise(rng: np.random.Generator, blur: tuple[float, float]) -> Field:
    """Smooth noise [SIZE, SIZE] of mean 0 and deviation 1; `blur` is (down, across) in pixels."""
    smooth = gaussian_filter(rng.standard_normal((SIZE, SIZE)), blur, mode="wrap")
    field: Field = ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)
    return field


def _lit(color: Field, light: Field, shine: Field | None = None) -> Field:
    """Scale a color ([3] or [h, w, 3]) by the light ([h, w]) and add white shine ([h, w])."""
    lit: Field = color * light[..., None]
    return lit if shine is None else lit + shine[..., None]


def _lamp_shade(part: Surface, pattern: Pattern) -> Field:
    """Cloth with a bulb behind it: brightest in the middle, warm, and darker at the sides."""
    middle = part.normal[..., 2] ** 1.5
    height = np.linspace(0, 1, part.cover.shape[0], dtype=np.float32)[:, None]
    glow = middle * np.exp(-(((height - 0.62) / 0.38) ** 2))
    color = pattern.paint(part.across, part.along)
    through = (0.36 * glow)[..., None] * (0.35 + 0.65 * color) * LAMP_LIGHT
    lit: Field = _lit(color, 0.58 + 0.34 * middle) + through
    return lit


def _flame(part: Surface) -> Field:
    heart = np.clip(1.25 - 2.2 * np.hypot(part.across, part.along - 0.15), 0, 1)[..., None]
    color: Field = FLAME_EDGE + (FLAME_HEART - FLAME_EDGE) * heart
    return color


def _stitch(color: Field, part: Surface) -> Field:
    """A dashed seam a little inside the outline, with the dent that thread leaves."""
    near = np.abs(part.seam - 0.055)
    dashes = np.sin((part.across + part.along) * 120) > -0.35
    dent = np.exp(-((near / 0.012) ** 2))
    thread = (near < 0.0065) & dashes
    dented = color * (1 - 0.22 * dent[..., None])
    stitched: Field = np.where(thread[..., None], dented * 0.35 + 0.60, dented)
    return stitched
