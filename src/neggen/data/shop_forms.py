"""The shop's product kinds, each in a few forms, as stacks of surfaces from back to front."""

from __future__ import annotations

from collections.abc import Callable

from neggen.data.shop_solids import (
    Points,
    Surface,
    disc,
    flame,
    opening,
    pillow,
    sheet,
    tube,
    turned,
)

FORMS_OF_SHAPE = 3
FLOOR = 0.62  # the height y that every product stands on


def build_form(shape: str, form: int) -> list[Surface]:
    """Build form 0, 1 or 2 of a product kind; surfaces in painting order."""
    return _BUILDERS[shape](form)


def _pot(profile: Points) -> list[Surface]:
    """An open vessel: the far inner wall, then the outside."""
    top, radius = profile[0]
    return [opening("inside", top, radius), turned("body", profile)]


def _mug(form: int) -> list[Surface]:
    profile: Points = (
        ((-0.40, 0.43), (-0.1, 0.43), (0.2, 0.43), (0.44, 0.42), (0.53, 0.38)),
        ((-0.28, 0.50), (0.0, 0.48), (0.32, 0.39), (0.54, 0.26)),
        ((-0.40, 0.37), (-0.25, 0.385), (0.0, 0.43), (0.25, 0.45), (0.44, 0.42), (0.53, 0.35)),
    )[form]
    handle_top, handle_bottom = profile[0][0] + 0.18, 0.36 - 0.06 * (form == 1)
    reach = 0.76
    middle = (handle_top + handle_bottom) / 2
    handle = tube(
        "trim",
        (
            (0.38, handle_top),
            (0.64, handle_top - 0.01),
            (reach, middle),
            (0.62, handle_bottom + 0.01),
            (0.34, handle_bottom),
        ),
        (0.05, 0.042, 0.05),
    )
    return [handle, *_pot(profile)]


def _teapot(form: int) -> list[Surface]:
    profile: Points = (
        ((-0.24, 0.18), (-0.18, 0.29), (0.0, 0.45), (0.20, 0.50), (0.40, 0.42), (0.53, 0.26)),
        ((-0.30, 0.19), (-0.1, 0.30), (0.15, 0.39), (0.40, 0.46), (0.53, 0.40)),
        ((-0.14, 0.22), (-0.08, 0.34), (0.08, 0.49), (0.24, 0.53), (0.42, 0.44), (0.53, 0.30)),
    )[form]
    top, neck = profile[0]
    spout = tube(
        "trim", ((0.34, 0.30), (0.56, 0.14), (0.64, -0.08), (0.76, -0.16)), (0.12, 0.07, 0.045)
    )
    handle = tube(
        "trim",
        ((-0.30, 0.0), (-0.55, -0.09), (-0.73, 0.08), (-0.63, 0.28), (-0.36, 0.38)),
        (0.045, 0.04, 0.045),
    )
    lid = turned("body", ((top - 0.12, 0.04), (top - 0.09, 0.13), (top + 0.0, neck + 0.015)))
    knob = turned("trim", ((top - 0.20, 0.02), (top - 0.165, 0.06), (top - 0.10, 0.035)))
    return [spout, handle, turned("body", profile), lid, knob]


def _vase(form: int) -> list[Surface]:
    profile: Points = (
        ((-0.62, 0.13), (-0.50, 0.10), (-0.30, 0.12), (0.10, 0.36), (0.38, 0.33), (0.56, 0.18)),
        ((-0.52, 0.22), (-0.45, 0.18), (-0.30, 0.22), (0.0, 0.39), (0.34, 0.27), (0.56, 0.20)),
        ((-0.60, 0.27), (-0.45, 0.235), (0.0, 0.22), (0.35, 0.29), (0.56, 0.26)),
    )[form]
    top = profile[0][0]
    stems = [
        tube("stem", ((0.0, top + 0.1), (0.05, top - 0.16), (0.17, top - 0.36)), (0.012, 0.008)),
        tube("stem", ((0.0, top + 0.1), (-0.05, top - 0.12), (-0.13, top - 0.30)), (0.012, 0.008)),
    ]
    leaves = [
        tube("stem", ((x, y), (x + dx, y - 0.05)), (0.008, 0.03, 0.006))
        for x, y, dx in (
            (0.06, top - 0.18, 0.10),
            (0.10, top - 0.24, -0.06),
            (0.14, top - 0.31, 0.10),
            (-0.06, top - 0.15, -0.10),
            (-0.09, top - 0.22, 0.05),
            (-0.12, top - 0.28, -0.09),
        )
    ]
    vessel = _pot(profile)
    return vessel if form == 2 else [vessel[0], *stems, *leaves, vessel[1]]


def _lamp(form: int) -> list[Surface]:
    profile: Points = (
        ((0.02, 0.05), (0.10, 0.10), (0.30, 0.25), (0.46, 0.22), (0.58, 0.15)),
        ((0.02, 0.05), (0.12, 0.07), (0.26, 0.10), (0.40, 0.20), (0.52, 0.25), (0.58, 0.24)),
        ((0.02, 0.07), (0.07, 0.17), (0.14, 0.21), (0.24, 0.22), (0.48, 0.22), (0.58, 0.20)),
    )[form]
    shade: Points = (
        ((-0.62, 0.25), (0.02, 0.46)),
        ((-0.64, 0.17), (-0.3, 0.34), (0.00, 0.47)),
        ((-0.56, 0.39), (0.00, 0.43)),
    )[form]
    pole = tube("peg", ((0.0, -0.1), (0.0, 0.12)), (0.025, 0.025))
    return [
        pole,
        turned("body", profile),
        opening("glow", shade[0][0], shade[0][1], 0.12),
        turned("shade", shade, 0.12),
        turned("band", ((shade[-1][0] - 0.022, shade[-1][1] - 0.004), shade[-1]), 0.12),
    ]


def _plate(form: int) -> list[Surface]:
    radius = (0.60, 0.56, 0.64)[form]
    center = (0.0, FLOOR - 0.02 - radius)
    pegs = [
        tube("peg", ((side * 0.24, FLOOR + 0.02), (side * 0.27, FLOOR - 0.16)), (0.03, 0.022))
        for side in (-1, 1)
    ]
    feet = ((-0.30, FLOOR + 0.02), (0.0, FLOOR), (0.30, FLOOR + 0.02))
    foot = tube("peg", feet, (0.026, 0.026))
    return [foot, disc("body", center, radius), *pegs]


def _candle(form: int) -> list[Surface]:
    top, radius = ((-0.24, 0.40), (-0.42, 0.36), (-0.04, 0.50))[form]
    wall: Points = ((top, radius), (0.3, radius), (0.54, radius * 0.97))
    filling: Points = ((top + 0.13, radius * 0.95), (0.53, radius * 0.92))
    wick_foot = top + 0.11
    wick = tube("peg", ((0.0, wick_foot), (0.01, wick_foot - 0.10)), (0.011, 0.009))
    return [
        opening("inside", top, radius),
        turned("wax", filling),
        opening("wax", top + 0.11, radius * 0.93),
        wick,
        turned("body", wall),
        flame((0.012, wick_foot - 0.20), 0.24),
    ]


def _cushion(form: int) -> list[Surface]:
    half = ((0.66, 0.58), (0.60, 0.60), (0.72, 0.48))[form]
    return [pillow("body", (0.0, FLOOR - 0.95 * half[1]), half)]


def _bag(form: int) -> list[Surface]:
    top, widths = ((-0.22, (0.50, 0.46)), (-0.30, (0.42, 0.48)), (-0.10, (0.56, 0.52)))[form]
    rise = top - (0.48, 0.40, 0.46)[form]
    grip = 0.24

    def strap(shift: float, start: float) -> Surface:
        return tube(
            "trim",
            (
                (-grip + shift, start),
                (-grip * 0.92 + shift, (start + rise) / 2),
                (shift, rise),
                (grip * 0.92 + shift, (start + rise) / 2),
                (grip + shift, start),
            ),
            (0.032, 0.027, 0.032),
        )

    return [
        strap(0.05, top + 0.05),
        sheet("body", top, FLOOR, widths, (0.10, 0.07, 0.12)[form]),
        strap(0.0, top + 0.16),
    ]


_BUILDERS: dict[str, Callable[[int], list[Surface]]] = {
    "mug": _mug,
    "teapot": _teapot,
    "vase": _vase,
    "lamp": _lamp,
    "plate": _plate,
    "candle": _candle,
    "cushion": _cushion,
    "bag": _bag,
}
