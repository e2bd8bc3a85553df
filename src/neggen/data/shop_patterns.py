"""The shop's colors and the patterns painted with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neggen.data.shop_solids import Field

COLORS: dict[str, tuple[int, int, int]] = {
    "terracotta": (200, 92, 62),
    "mustard": (226, 170, 48),
    "sage": (140, 166, 124),
    "navy": (36, 56, 112),
    "teal": (22, 128, 134),
    "blush": (236, 174, 174),
    "cream": (243, 232, 208),
    "charcoal": (66, 66, 74),
}

# The second color of a pattern: enough contrast to see it at thumbnail size.
ACCENTS: dict[str, tuple[int, int, int]] = {
    "terracotta": (250, 228, 198),
    "mustard": (255, 246, 220),
    "sage": (246, 244, 228),
    "navy": (236, 234, 226),
    "teal": (238, 244, 232),
    "blush": (168, 62, 86),
    "cream": (160, 116, 84),
    "charcoal": (228, 222, 212),
}

FLOWER_HEART = np.array([232, 176, 60], np.float32) / 255
LEAF_GREEN = np.array([16, 41, 18], np.float32) / 255


@dataclass(frozen=True)
class Pattern:
    """One item's pattern, drawn anew for every item so that no two are quite alike.

    Attributes:
        kind: a value of the `pattern` attribute.
        base, accent: [3], colors from 0 to 1.
        scale: repeats are `scale` times their usual size.
        upright: whether stripes run down instead of around.
        phases: [16, 3], random numbers from 0 to 1 that vary the flowers.
    """

    kind: str
    base: Field
    accent: Field
    scale: float
    upright: bool
    phases: Field

    def paint(self, across: Field, along: Field) -> Field:
        """Color each point of a surface: [height, width] twice → [height, width, 3]."""
        u, v = across / self.scale, along / self.scale
        if self.kind == "plain":
            return np.broadcast_to(self.base, (*u.shape, 3))
        if self.kind == "striped":
            return self._mix(_wave_edge(u if self.upright else v, 0.16, 0.42))
        if self.kind == "dotted":
            return self._mix(_dots(u, v))
        if self.kind == "checked":
            crossing = _wave_edge(u, 0.2, 0.5) + _wave_edge(v, 0.2, 0.5)
            return self._mix(crossing * 0.5)
        if self.kind == "zigzag":
            # A triangle wave of the other coordinate bends the stripes.
            bend = 0.10 * np.abs((u / 0.19) % 1 * 2 - 1)
            return self._mix(_wave_edge(v + bend, 0.15, 0.42))
        return self._flowers(u, v)

    def _mix(self, weight: Field) -> Field:
        return self.base + (self.accent - self.base) * weight[..., None]

    def _flowers(self, u: Field, v: Field) -> Field:
        cell = 0.25
        row = np.floor(v / cell)
        shifted = u + (row % 2) * cell / 2  # every other row by half a cell
        column = np.floor(shifted / cell)
        pick = ((column * 7 + row * 11) % len(self.phases)).astype(int)
        turn, jitter_x, jitter_y = np.moveaxis(self.phases[pick], -1, 0)
        x = (shifted / cell - column - 0.5) * cell + (jitter_x - 0.5) * 0.045
        y = (v / cell - row - 0.5) * cell + (jitter_y - 0.5) * 0.045
        reach, angle = np.hypot(x, y), np.arctan2(y, x) + turn * 6.28
        petals = 0.085 * (0.66 + 0.34 * np.cos(5 * angle))
        leaf = 0.115 * np.clip(np.cos(2 * (angle + 0.5)), 0, 1) ** 3
        leaf_color = self.base * 0.45 + self.accent * 0.25 + LEAF_GREEN
        color = self._mix(np.zeros_like(u))
        color = _over(color, leaf_color, _step(leaf - reach))
        color = _over(color, self.accent, _step(petals - reach))
        color = _over(color, self.base * 0.6 + self.accent * 0.4, _step(0.042 - reach) * 0.5)
        return _over(color, FLOWER_HEART, _step(0.024 - reach))


def make_pattern(kind: str, color: str, rng: np.random.Generator) -> Pattern:
    """Draw one item's version of a pattern in one of the shop's colors."""
    jitter = rng.normal(0, 0.012, 3)
    return Pattern(
        kind=kind,
        base=np.clip(np.array(COLORS[color]) / 255 + jitter, 0, 1).astype(np.float32),
        accent=(np.array(ACCENTS[color]) / 255).astype(np.float32),
        scale=float(rng.uniform(0.85, 1.25)),
        upright=bool(rng.random() < 0.5),
        phases=rng.random((16, 3)).astype(np.float32),
    )


def _step(distance: Field) -> Field:
    """0 below, 1 above, smooth over a pixel or so."""
    cover: Field = np.clip(distance / 0.007 + 0.5, 0, 1)
    return cover


def _wave_edge(u: Field, period: float, share: float) -> Field:
    """1 on `share` of each period, else 0, with smooth edges."""
    place = np.abs((u / period) % 1 - 0.5) * period
    return _step(share * period / 2 - place)


def _dots(u: Field, v: Field) -> Field:
    cell = 0.155
    row = np.floor(v / cell)
    x = ((u / cell + (row % 2) * 0.5) % 1 - 0.5) * cell
    y = (v / cell - row - 0.5) * cell
    return _step(0.043 - np.hypot(x, y))


def _over(color: Field, paint: Field, weight: Field) -> Field:
    return color + (paint - color) * weight[..., None]
