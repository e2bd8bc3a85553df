"""The solids that the shop's products are built from.

Coordinates: x to the right and y down, both from -1 to 1 over the picture; normals point to the
viewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter

Field = NDArray[np.floating[Any]]
Finish = Literal["body", "trim", "inside", "shade", "wax", "flame", "glow", "peg", "stem", "band"]
Points = Sequence[tuple[float, float]]

SIZE = 512
PIXEL = 2.0 / SIZE
TILT = 0.20  # the sine of the angle the camera looks down by: how round a circular rim looks
Y, X = (np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5) * PIXEL - 1.0


@dataclass(frozen=True)
class Surface:
    """One visible surface, cropped to its box.

    Attributes:
        finish: what it is covered with; only `body` and `shade` carry the pattern.
        box: (top, bottom, left, right) in pixels of the SIZE x SIZE picture, all even.
        cover: [height, width], 0 outside to 1 inside, smooth at the edge.
        across, along: [height, width], pattern coordinates in picture units, following the form.
        normal: [height, width, 3], unit length.
        seam: [height, width], distance to the outline where stitching can follow it, else large.
    """

    finish: Finish
    box: tuple[int, int, int, int]
    cover: Field
    across: Field
    along: Field
    normal: Field
    seam: Field


def window(left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
    """The rows and columns between these coordinates, so that only they are computed.

    Both begin and end at even pixels, because pictures are drawn at twice their size.
    """

    def pixels(low: float, high: float) -> slice:
        first, last = int((low + 1) / PIXEL) // 2 - 1, int((high + 1) / PIXEL) // 2 + 2
        return slice(max(0, 2 * first), min(SIZE, 2 * last))

    return pixels(top, bottom), pixels(left, right)


def surface(
    finish: Finish,
    area: tuple[slice, slice],
    cover: Field,
    across: Field,
    along: Field,
    normal: tuple[Field, Field, Field],
    seam: Field | None = None,
) -> Surface:
    """Bundle fields computed on `area` (each of the area's shape), the normals made unit length."""
    direction = np.stack(np.broadcast_arrays(*normal), axis=-1)  # [height, width, 3]
    direction = direction / np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-6)
    distance = np.full_like(cover, 9.0) if seam is None else seam
    rows, columns = area
    box = (rows.start, rows.stop, columns.start, columns.stop)
    fields = (cover, across, along, direction, distance)
    return Surface(finish, box, *(field.astype(np.float32) for field in fields))


def inside(distance: Field) -> Field:
    """Turn a distance to the outline (positive inside) into a cover with a one-pixel edge."""
    cover: Field = np.clip(distance / (1.5 * PIXEL) + 0.5, 0, 1)
    return cover


def turned(finish: Finish, profile: Points, tilt: float = TILT) -> Surface:
    """A surface of revolution about x = 0; `profile` lists (y, radius) from top to bottom."""
    knots = np.array(profile)
    top, bottom = knots[0, 0], knots[-1, 0]
    heights = np.linspace(top, bottom, 400)
    radii = np.maximum(CubicSpline(knots[:, 0], knots[:, 1], bc_type="natural")(heights), 0.01)
    slopes = np.gradient(radii, heights)
    widest = float(radii.max())
    area = window(-widest, widest, top, bottom + tilt * widest)
    x, y = X[area], Y[area]
    # A point at height h and angle θ from the front is seen at y = h + tilt * r(h) * cos θ.
    # The fixed point below finds h of each pixel.
    height = y
    for _ in range(5):
        radius = np.interp(height, heights, radii)
        sine = np.clip(x / radius, -1, 1)
        height = y - tilt * radius * np.sqrt(1 - sine**2)
    edge = np.minimum(radius - np.abs(x), np.minimum(height - top, bottom - height))
    slope = np.interp(height, heights, slopes)
    normal = (sine, -slope, np.sqrt(1 - sine**2) + 1e-3)
    return surface(finish, area, inside(edge), np.arcsin(sine) * widest, height, normal)


def opening(finish: Finish, y: float, radius: float, tilt: float = TILT) -> Surface:
    """The round opening or lid face of a turned surface whose rim is at height y."""
    area = window(-radius, radius, y - tilt * radius, y + tilt * radius)
    across, down = X[area] / radius, (Y[area] - y) / (tilt * radius)
    reach = np.hypot(across, down)
    # The far inner wall shows in the upper half, facing the viewer; its normals point inward.
    normal = (-across, down * 0.6, np.full_like(across, 0.7))
    return surface(finish, area, inside((1 - reach) * tilt * radius), X[area], Y[area], normal)


def tube(finish: Finish, points: Points, radii: Sequence[float]) -> Surface:
    """A bent tube through `points`, its radius running through `radii`."""
    knots = np.array(points)
    steps = np.linspace(0, 1, 28)
    path = CubicSpline(np.linspace(0, 1, len(points)), knots, bc_type="natural")(steps)
    thickness = np.interp(steps, np.linspace(0, 1, len(radii)), radii)
    margin = thickness.max()
    (left, top), (right, bottom) = path.min(axis=0) - margin, path.max(axis=0) + margin
    area = window(left, right, top, bottom)
    x, y = X[area], Y[area]
    best = np.full_like(x, 9.0)
    offset_x, offset_y, radius = np.zeros_like(x), np.zeros_like(x), np.ones_like(x)
    for index in range(len(path) - 1):
        start, step = path[index], path[index + 1] - path[index]
        # The nearest point of this segment, as a share of its length.
        share = np.clip(((x - start[0]) * step[0] + (y - start[1]) * step[1]) / (step @ step), 0, 1)
        away_x, away_y = x - start[0] - share * step[0], y - start[1] - share * step[1]
        here = thickness[index] + share * (thickness[index + 1] - thickness[index])
        distance = np.hypot(away_x, away_y) - here
        closer = distance < best
        for kept, found in (
            (best, distance),
            (offset_x, away_x),
            (offset_y, away_y),
            (radius, here),
        ):
            kept[closer] = found[closer]
    normal_x, normal_y = offset_x / radius, offset_y / radius
    normal_z = np.sqrt(np.clip(1 - normal_x**2 - normal_y**2, 0.02, 1))
    return surface(finish, area, inside(-best), x, y, (normal_x, normal_y, normal_z))


def disc(finish: Finish, center: tuple[float, float], radius: float) -> Surface:
    """A plate facing the viewer: a flat well, a sloping shoulder, a rim and a raised lip."""
    area = window(center[0] - radius, center[0] + radius, center[1] - radius, center[1] + radius)
    x, y = X[area] - center[0], (Y[area] - center[1]) * 1.04
    reach = np.hypot(x, y) / radius
    slope = np.interp(
        reach,
        [0, 0.56, 0.60, 0.68, 0.72, 0.93, 0.965, 0.985, 1.0],
        [0, 0.03, -0.65, -0.65, -0.16, -0.16, -0.40, 0.5, 0.9],
    )
    outward = slope / np.maximum(reach * radius, 1e-3)
    normal = (outward * x, outward * y, np.sqrt(1 - slope**2))
    return surface(finish, area, inside((1 - reach) * radius), x, y, normal)


def pillow(finish: Finish, center: tuple[float, float], half: tuple[float, float]) -> Surface:
    """A stuffed cushion with drawn-in sides and soft corners."""
    left, right = center[0] - half[0], center[0] + half[0]
    area = window(left, right, center[1] - half[1], center[1] + half[1])
    x, y = (X[area] - center[0]) / half[0], (Y[area] - center[1]) / half[1]
    side_x = x / (0.92 + 0.08 * np.clip(y, -1, 1) ** 2)
    side_y = y / (0.91 + 0.09 * np.clip(x, -1, 1) ** 2)
    reach = (np.abs(side_x) ** 9 + np.abs(side_y) ** 9) ** (1 / 9)
    room = np.clip((1 - side_x**2) * (1 - side_y**2), 1e-3, 1)
    puff = 0.34 * gaussian_filter(room**0.45, 5)
    # Creases run in from the corners, where the filling pulls the cloth.
    angle = np.arctan2(np.abs(y), np.abs(x))
    corner = np.exp(-(((angle - np.pi / 4) / 0.35) ** 2)) * np.clip(np.hypot(x, y) - 0.6, 0, 1)
    puff = puff + 0.018 * corner * np.sin(angle * 42)
    normal_y, normal_x = np.gradient(-puff, PIXEL)
    distance = (1 - reach) * min(half)
    # The pattern bulges with the filling: it is a little larger in the middle.
    across, along = x * half[0] * (1 - 0.10 * room), y * half[1] * (1 - 0.10 * room)
    normal = (normal_x, normal_y, np.ones_like(x))
    return surface(finish, area, inside(distance), across, along, normal, distance)


def sheet(
    finish: Finish, top: float, bottom: float, half_widths: tuple[float, float], folds: float
) -> Surface:
    """A hanging piece of cloth or hide between two heights, with soft vertical folds."""
    widest, round_by = max(half_widths) + 0.02, 0.10
    area = window(-widest, widest, top, bottom)
    x, y = X[area], Y[area]
    fall = np.clip((y - top) / (bottom - top), 0, 1)
    half = half_widths[0] + (half_widths[1] - half_widths[0]) * fall + 0.012 * np.sin(fall * 6)
    sag = 0.018 * (x / half) ** 2
    beyond_x = np.maximum(np.abs(x) - (half - round_by), 0)
    beyond_y = np.maximum(y + sag - (bottom - round_by), 0)
    distance = np.minimum(
        round_by - np.hypot(beyond_x, beyond_y), y - top - 0.012 * np.cos(x / half * 1.5)
    )
    bend = np.sin(x * 9 + 2.2 * fall) * (0.25 + fall * (1 - fall) * 2)
    bend = folds * (bend + 0.7 * np.sin(x * 17 - 3 * fall))
    edge = np.clip(1 - distance / 0.07, 0, 1) ** 2 * 0.7
    normal_x = bend + edge * np.sign(x) * (beyond_x > 0)
    normal_y = edge * (beyond_y > 0) + 0.10 * np.sin(fall * 7 + x * 3)
    normal = (normal_x, normal_y, np.ones_like(x))
    return surface(finish, area, inside(distance), x, y, normal, distance)


def flame(center: tuple[float, float], height: float) -> Surface:
    """A candle flame: a drop with its tip up; pattern coordinates run from -½ to ½ over it."""
    half = height / 2
    area = window(center[0] - half, center[0] + half, center[1] - half, center[1] + half)
    x, y = (X[area] - center[0]) / (0.36 * height), (Y[area] - center[1]) / height
    drop = np.hypot(x / np.maximum(0.35, 0.75 + 0.55 * y), y)
    return surface("flame", area, inside((0.5 - drop) * 0.3), x, y, (x, y, np.ones_like(x)))
