"""The rooms the shop photographs in, and the ways it develops its pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from neggen.data.shop_solids import Field

PICTURE = 256
ROOM = 320  # rooms are larger than pictures, so that every picture can frame its own part
HORIZON = 0.64
VARIANTS = 3

_Y, _X = (np.mgrid[0:PICTURE, 0:PICTURE].astype(np.float32) + 0.5) / PICTURE * 2 - 1
_CORNER: Field = np.clip(np.hypot(_X, _Y) - 0.55, 0, 1)[..., None]
_VINTAGE_VIGNETTE: Field = 1 - 0.62 * _CORNER**1.2
_V, _U = (np.mgrid[0:ROOM, 0:ROOM].astype(np.float32) + 0.5) / ROOM
_FLOOR = np.clip((_V - HORIZON) / (1 - HORIZON), 0, 1)


def _rgb(red: float, green: float, blue: float) -> Field:
    color: Field = np.array([red, green, blue], np.float32) / 255
    return color


_WARM_TINT: Field = _rgb(266, 250, 222) * (1 - 0.22 * _CORNER)
_WARM_GLOW: Field = (
    0.16 * np.clip(1 - np.hypot(_X + 1, _Y + 1) / 2.2, 0, 1)[..., None] * _rgb(255, 190, 100)
)


def build_room(background: str, variant: int) -> Field:
    """Build one of three versions of a background: [ROOM, ROOM, 3] from 0 to 1."""
    rng = np.random.default_rng([variant, list(_ROOMS).index(background)])
    return np.clip(_ROOMS[background](variant, rng), 0, 1).astype(np.float32)


def develop(photo: Field, style: str, rng: np.random.Generator) -> Field:
    """Give a picture ([PICTURE, PICTURE, 3]) its photo style."""
    if style == "warm":
        warmed: Field = photo * _WARM_TINT + _WARM_GLOW
        return warmed
    if style == "cool":
        photo = (photo - 0.5) * 1.06 + 0.5
        return photo * _rgb(234, 250, 270) + _rgb(0, 2, 8)
    if style == "vintage":
        gray = photo @ np.array([0.35, 0.5, 0.15], np.float32)
        sepia = gray[..., None] * _rgb(272, 238, 190)
        faded = 0.10 + 0.84 * (photo * 0.72 + sepia * 0.28)
        grain = rng.normal(0, 0.026, (PICTURE, PICTURE, 1)).astype(np.float32)
        return faded * _VINTAGE_VIGNETTE + grain
    # Bloom: an eighth of the size is blurred enough, and much faster.
    small = photo.reshape(PICTURE // 8, 8, PICTURE // 8, 8, 3).mean(axis=(1, 3))
    blurred = gaussian_filter(np.clip(small, 0, 1), (1.2, 1.2, 0))
    glow = Image.fromarray((blurred * 255).astype(np.uint8)).resize((PICTURE, PICTURE))
    bloom = np.asarray(glow, np.float32) / 255
    light: Field = 1 - (1 - np.clip(photo, 0, 1)) * (1 - 0.42 * bloom)
    return 0.10 + 0.92 * light


def _blend(back: Field, front: Field, weight: Field) -> Field:
    return back + (front - back) * weight[..., None]


def _noise(rng: np.random.Generator, blur: tuple[float, float]) -> Field:
    smooth = gaussian_filter(rng.standard_normal((ROOM, ROOM)), blur, mode="wrap")
    field: Field = (smooth / smooth.std()).astype(np.float32)
    return field


def _bokeh(
    canvas: Field, rng: np.random.Generator, count: int, colors: list[Field], lowest: float
) -> Field:
    """Lay out-of-focus spots of light over the upper part of a room."""
    for _ in range(count):
        x, y, radius = rng.random(), rng.random() * lowest, rng.uniform(0.015, 0.06)
        first_row, first_column = (max(0, int((place - radius) * ROOM)) for place in (y, x))
        last_row, last_column = (int((place + radius) * ROOM) + 2 for place in (y, x))
        area = (slice(first_row, last_row), slice(first_column, last_column))
        reach = np.hypot(_U[area] - x, _V[area] - y) / radius
        spot = np.clip((1 - reach) * 8, 0, 1) * (0.65 + 0.35 * np.clip(reach, 0, 1) ** 3)
        color = colors[int(rng.integers(len(colors)))]
        canvas[area] += spot[..., None] * color * rng.uniform(0.10, 0.42)
    blurred: Field = gaussian_filter(canvas, (1.2, 1.2, 0))
    return blurred


def _studio(variant: int, rng: np.random.Generator) -> Field:
    paper = (_rgb(246, 246, 246), _rgb(240, 241, 243), _rgb(248, 246, 243))[variant]
    sweep = 1 / (1 + np.exp(-(_V - HORIZON) * 14))  # a seamless paper roll: no edge
    light = 1.02 - 0.12 * np.hypot(_U - 0.35, _V - 0.35) - 0.07 * sweep * (1 - _FLOOR)
    lit: Field = paper * light[..., None]
    return lit


def _garden(variant: int, rng: np.random.Generator) -> Field:
    leaves = 0.55 * _noise(rng, (16, 16)) + 0.45 * _noise(rng, (7, 7))
    dark, bright = _rgb(44, 92, 44), _rgb(150, 196, 92)
    wall = _blend(dark + 0 * _U[..., None], bright, np.clip(0.45 + 0.28 * leaves - 0.2 * _V, 0, 1))
    blossoms = [_rgb(255, 245, 190), _rgb(235, 255, 190), _rgb(255, 190, 200)]
    wall = _bokeh(wall, rng, 34, blossoms, HORIZON)
    grass = _noise(rng, (5, 0.9)) * (0.4 + 0.6 * _FLOOR)
    lawn = _rgb(96, 148, 60) * (0.86 + 0.10 * grass + 0.22 * _FLOOR)[..., None]
    return _blend(wall, lawn, 1 / (1 + np.exp(-(_V - HORIZON) * 90)))


def _pastel(variant: int, rng: np.random.Generator) -> Field:
    wall, floor = (
        (_rgb(250, 214, 216), _rgb(255, 236, 226)),
        (_rgb(204, 226, 240), _rgb(232, 242, 244)),
        (_rgb(218, 208, 240), _rgb(240, 232, 248)),
    )[variant]
    edge = np.clip((_V - HORIZON) * ROOM / 2 + 0.5, 0, 1)
    floor = floor * (0.93 + 0.08 * _FLOOR)[..., None]
    room = _blend(wall * (1.0 - 0.10 * _U)[..., None], floor, edge)
    # Light falls through a window and is cut by its bars.
    slant = _U * 0.9 + _V * 0.55
    panes = ((slant * 3.1) % 1 < 0.72) & (np.abs(_V - 0.3 - 0.25 * _U) > 0.014)
    window = panes & (slant > 0.32) & (slant < 1.3)
    light: Field = 1 - 0.09 + 0.12 * gaussian_filter(window.astype(np.float32), 2.5)
    return room * light[..., None]


def _table(variant: int, rng: np.random.Generator) -> Field:
    wall = (_rgb(206, 186, 162), _rgb(178, 166, 150), _rgb(214, 200, 182))[variant]
    glow = np.exp(-(((_U - 0.2) / 0.4) ** 2 + ((_V - 0.2) / 0.4) ** 2))
    back = wall * (0.72 + 0.38 * glow)[..., None]
    back = _bokeh(back, rng, 10, [_rgb(255, 220, 160), _rgb(255, 200, 130)], 0.45)
    # Planks run away from the viewer: they converge at a point above the horizon.
    depth = 0.35 + 0.65 * _FLOOR
    plank = (_U - 0.5) / depth * 4.2 + 0.3
    index = np.floor(plank).astype(int)
    tone = 0.90 + 0.18 * rng.random(64)[index % 64]
    grain = np.sin(plank * 34 + 3 * _noise(rng, (30, 3))) * 0.035 + 0.035 * _noise(rng, (14, 0.8))
    gap = np.clip(1 - np.abs(plank - np.round(plank)) / 0.025, 0, 1)
    light = (tone + grain) * (1 - 0.55 * gap) * (0.84 + 0.25 * _FLOOR)
    wood = _rgb(168, 112, 66) * light[..., None]
    return _blend(back, wood, np.clip((_V - HORIZON) * ROOM / 2 + 0.5, 0, 1))


def _marble(variant: int, rng: np.random.Generator) -> Field:
    wall = (_rgb(178, 182, 186), _rgb(164, 174, 176), _rgb(188, 182, 178))[variant]
    plaster = wall * (0.93 + 0.012 * _noise(rng, (6, 6)) + 0.12 * (1 - _U) * (1 - _V))[..., None]
    depth = 0.45 + 0.55 * _FLOOR  # the slab runs away from the viewer: its veins crowd at the back
    place = (_U - 0.5) / depth * 2.6 + _FLOOR / depth * 1.4
    warp = 0.30 * _noise(rng, (14, 30)) + 0.05 * _noise(rng, (3, 6))
    broad = np.exp(-np.abs(np.sin(place * 1.3 + warp)) * 6)
    thin = np.exp(-np.abs(np.sin(place * 2.9 - warp * 1.4 + 1)) * 16)
    cloud = 0.95 + 0.025 * _noise(rng, (12, 30))
    slab = _rgb(246, 245, 242) * (cloud - 0.13 * broad - 0.15 * thin)[..., None]
    front = np.clip((_V - HORIZON) * ROOM / 2 + 0.5, 0, 1)
    shade = 1 - 0.16 * np.exp(-np.abs(_V - HORIZON) * 40) * (_V < HORIZON)
    return _blend(plaster * shade[..., None], slab, front)


def _night(variant: int, rng: np.random.Generator) -> Field:
    low, high = ((24, 34, 78), (10, 14, 40)), ((20, 42, 84), (8, 16, 40))
    bottom, top = (low, high, ((36, 30, 84), (14, 10, 40)))[variant]
    sky = _blend(_rgb(*top) + 0 * _U[..., None], _rgb(*bottom), np.clip(_V / HORIZON, 0, 1))
    lights = [_rgb(255, 196, 110), _rgb(255, 150, 110), _rgb(130, 190, 255), _rgb(255, 236, 190)]
    sky = _bokeh(sky, rng, 46, lights, HORIZON * 0.98)
    mirror = sky[np.clip((HORIZON * 2 * ROOM - np.arange(ROOM)), 0, ROOM - 1).astype(int)]
    floor = gaussian_filter(mirror, (10, 3, 0)) * 0.55 + _rgb(16, 20, 44)
    return _blend(sky, floor, np.clip((_V - HORIZON) * ROOM / 2 + 0.5, 0, 1))


_ROOMS: dict[str, Callable[[int, np.random.Generator], Field]] = {
    "studio": _studio,
    "garden": _garden,
    "pastel": _pastel,
    "table": _table,
    "marble": _marble,
    "night": _night,
}
