"""Names of colors, by distance in CIE Lab."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Display sRGB of colors that everybody tells apart.
LEXICON = {
    "black": (22, 22, 24),
    "charcoal": (62, 64, 68),
    "gray": (128, 128, 128),
    "silver": (192, 193, 195),
    "white": (246, 246, 244),
    "cream": (242, 230, 202),
    "beige": (208, 184, 148),
    "brown": (112, 72, 44),
    "maroon": (112, 26, 36),
    "red": (204, 38, 42),
    "coral": (240, 122, 98),
    "orange": (238, 134, 36),
    "yellow": (244, 208, 58),
    "olive": (122, 122, 52),
    "green": (56, 146, 66),
    "forest green": (30, 80, 48),
    "mint": (158, 214, 178),
    "teal": (30, 132, 132),
    "sky blue": (132, 188, 230),
    "blue": (42, 98, 200),
    "navy": (28, 40, 92),
    "purple": (116, 62, 150),
    "lavender": (186, 168, 218),
    "pink": (240, 160, 186),
    "magenta": (204, 48, 128),
}
NAMES = tuple(LEXICON)

_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
_BYTE_TO_LINEAR = np.array(
    [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.arange(256) / 255]
)


def to_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert sRGB bytes ``[..., 3]`` to CIE Lab under D65, L from 0 to 100, ``[..., 3]``."""
    xyz = _BYTE_TO_LINEAR[rgb] @ _TO_XYZ.T / _WHITE
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


_LEXICON_LAB = to_lab(np.array(list(LEXICON.values()), dtype=np.uint8))  # [names, 3]


def nearest_names(lab: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the position in ``NAMES`` nearest to each Lab color ``[pixels, 3]``, ``[pixels]``."""
    # |a-b|² up to a term that is the same for all names
    distance = (_LEXICON_LAB**2).sum(axis=1) - 2.0 * lab @ _LEXICON_LAB.T  # [pixels, names]
    nearest: NDArray[np.intp] = distance.argmin(axis=1)
    return nearest
