"""What can be measured in a picture without a model: colors, light, shape, texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neggen.generation.catalogue.colors import NAMES, nearest_names, to_lab

SIDE = 64
"""Pictures are measured at this many pixels a side."""
_EDGE = 4
_BORDER_SHARE = 0.12
"""A color with this share of the border belongs to the background."""
_ACCENT_SHARE = 0.15
_NEUTRAL_WEIGHT = 8.0
_FOREIGN = 16.0
"""Least Lab distance from every background color of a pixel that belongs to the subject."""


@dataclass(frozen=True)
class Measures:
    """Figures and color names of one picture; lengths in shares of the side, light in Lab units."""

    color: str
    accent: str | None
    background: str
    background_spread: float
    lightness: float
    contrast: float
    chroma: float
    warmth: float
    texture: float
    coherence: float
    angle: float
    """Of the dominant lines, in degrees from horizontal, 0 to 180."""
    area: float
    extent: float
    """Share of its bounding box that the subject fills: about 0.8 for an ellipse, 1 for a box."""
    slenderness: float
    """Log ratio of vertical to horizontal spread of the subject."""
    symmetry: float
    """Overlap of the subject with its mirror image, 0 to 1."""


def measure(picture: Image.Image) -> Measures:
    """Measure an RGB picture of any size."""
    small = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    lab = to_lab(np.asarray(small))  # [side, side, 3]
    names = nearest_names(lab.reshape(-1, 3)).reshape(SIDE, SIDE)
    border = _border()
    in_border = np.bincount(names[border], minlength=len(NAMES)) / border.sum()
    subject = _subject(lab, names, border, in_border)

    chroma: NDArray[np.float32] = np.hypot(lab[..., 1], lab[..., 2])
    # Shading turns much of any product gray; what has a hue tells the product's color.
    weights = _NEUTRAL_WEIGHT + chroma[subject]
    colors = np.bincount(names[subject], weights, minlength=len(NAMES)) / weights.sum()
    background = int(in_border.argmax())
    order = np.argsort(-colors, kind="stable")
    accent = NAMES[order[1]] if colors[order[1]] >= _ACCENT_SHARE else None

    light = lab[..., 0]
    down, right = np.gradient(light, axis=0), np.gradient(light, axis=1)
    inside = subject & _shifted_all(subject)
    inside = inside if inside.sum() >= 32 else subject
    xx = float((right[inside] ** 2).mean())
    yy = float((down[inside] ** 2).mean())
    xy = float((right[inside] * down[inside]).mean())
    gradient_angle = 0.5 * np.degrees(np.arctan2(2 * xy, xx - yy))

    rows, columns = np.nonzero(subject)
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    cut = subject[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    mirrored = cut[:, ::-1]
    return Measures(
        color=NAMES[order[0]],
        accent=accent,
        background=NAMES[background],
        background_spread=float(lab[border].std(axis=0).sum()),
        lightness=float(light.mean()),
        contrast=float(light.std()),
        chroma=float(chroma.mean()),
        warmth=float((lab[..., 2] + 0.5 * lab[..., 1]).mean()),
        texture=float(np.hypot(down, right)[inside].mean()),
        coherence=float(np.hypot(xx - yy, 2 * xy) / max(xx + yy, 1e-6)),
        angle=float((gradient_angle + 90.0) % 180.0),
        area=float(subject.mean()),
        extent=float(subject.sum() / box),
        slenderness=float(np.log((rows.std() + 0.5) / (columns.std() + 0.5))),
        symmetry=float((cut & mirrored).sum() / (cut | mirrored).sum()),
    )


def _border() -> NDArray[np.bool_]:
    border = np.ones((SIDE, SIDE), dtype=bool)
    border[_EDGE:-_EDGE, _EDGE:-_EDGE] = False
    return border


def _subject(
    lab: NDArray[np.float32],
    names: NDArray[np.intp],
    border: NDArray[np.bool_],
    in_border: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return where the picture differs from its border; the middle, if that tells nothing."""
    distance = np.full((SIDE, SIDE), np.inf, dtype=np.float32)
    for name in np.flatnonzero(in_border >= _BORDER_SHARE):
        center = lab[border & (names == name)].mean(axis=0)
        distance = np.minimum(distance, np.linalg.norm(lab - center, axis=-1))
    subject = distance > _FOREIGN
    if not np.isfinite(distance).all() or not 0.04 <= subject.mean() <= 0.9:
        subject = np.zeros((SIDE, SIDE), dtype=bool)
        subject[SIDE // 5 : -SIDE // 5, SIDE // 5 : -SIDE // 5] = True
    return subject


def _shifted_all(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where all four neighbors are in the mask too, away from the subject's outline."""
    inside = np.zeros_like(mask)
    inside[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return inside
