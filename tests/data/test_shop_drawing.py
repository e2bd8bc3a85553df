"""The shop's pictures: repeatable, and showing what the truth says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from neggen.data.shop import make_shop
from neggen.data.shop_drawing import Photographer
from neggen.data.shop_forms import FORMS_OF_SHAPE, build_form
from neggen.data.shop_words import MATERIALS_OF_SHAPE, VALUES
from neggen.errors import NegGenError

LOOK = {
    "shape": "plate",
    "color": "teal",
    "pattern": "plain",
    "material": "ceramic",
    "background": "studio",
    "photo_style": "cool",
}


@pytest.fixture(scope="module")
def photographer() -> Photographer:
    return Photographer()


def shoot(photographer: Photographer, seed: int = 0, **changes: str) -> NDArray[np.float64]:
    photo = photographer.shoot(LOOK | changes, np.random.default_rng(seed))
    assert photo.size == (256, 256)
    return np.asarray(photo, float)


def test_a_shop_draws_every_picture_it_lists_and_the_same_bytes_again(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        make_shop(40, 1, seed=5, interactions_per_user=5).draw(tmp_path / "new" / folder)
    first, second = tmp_path / "new" / "first", tmp_path / "new" / "second"
    listed = make_shop(40, 1, seed=5, interactions_per_user=5).items["image"].drop_nulls()
    assert sorted(path.name for path in first.iterdir()) == sorted(listed)
    for name in listed:
        assert (first / name).read_bytes() == (second / name).read_bytes()
        with Image.open(first / name) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (256, 256)


@pytest.mark.parametrize("shape", VALUES["shape"])
def test_every_shape_draws_in_every_material_and_pattern(
    photographer: Photographer, shape: str
) -> None:
    for seed, material in enumerate(MATERIALS_OF_SHAPE[shape]):
        for pattern in VALUES["pattern"]:
            photo = shoot(photographer, seed, shape=shape, material=material, pattern=pattern)
            assert photo.std() > 10


@pytest.mark.parametrize("attribute", [name for name in LOOK if name != "shape"])
def test_each_attribute_changes_the_picture(photographer: Photographer, attribute: str) -> None:
    values = MATERIALS_OF_SHAPE["plate"] if attribute == "material" else VALUES[attribute]
    photos = [shoot(photographer, **{attribute: value}) for value in values]
    for index, photo in enumerate(photos):
        for other in photos[:index]:
            assert np.abs(photo - other).mean() > 1.0


def test_the_product_has_the_color_it_is_said_to_have(photographer: Photographer) -> None:
    middle = {
        color: shoot(photographer, color=color)[110:130, 118:138].mean(axis=(0, 1))
        for color in VALUES["color"]
    }
    red, green, blue = range(3)
    assert middle["terracotta"][red] > middle["terracotta"][blue] + 60
    assert middle["navy"][blue] > middle["navy"][red] + 40
    assert middle["sage"][green] > max(middle["sage"][red], middle["sage"][blue])
    assert middle["cream"].min() > middle["charcoal"].max() + 60


def test_a_background_leaves_the_product_alone(photographer: Photographer) -> None:
    garden, night = (shoot(photographer, background=room) for room in ("garden", "night"))
    assert np.abs(garden[:40] - night[:40]).mean() > 40
    assert np.abs(garden[100:140, 110:150] - night[100:140, 110:150]).mean() < 2


def test_glass_lets_the_background_through(photographer: Photographer) -> None:
    studio, night = (
        shoot(photographer, material="glass", background=room) for room in ("studio", "night")
    )
    assert np.abs(studio[100:140, 110:150] - night[100:140, 110:150]).mean() > 30


@pytest.mark.parametrize("shape", VALUES["shape"])
@pytest.mark.parametrize("form", range(FORMS_OF_SHAPE))
def test_forms_are_sound(shape: str, form: int) -> None:
    for part in build_form(shape, form):
        top, bottom, left, right = part.box
        assert part.cover.shape == (bottom - top, right - left)
        assert all(edge % 2 == 0 for edge in part.box)
        assert part.cover.max() > 0.99
        assert np.isfinite(part.normal).all()
        np.testing.assert_allclose(np.linalg.norm(part.normal, axis=-1), 1, atol=1e-4)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file, not a folder")
    with pytest.raises(NegGenError, match="taken"):
        make_shop(40, 1, interactions_per_user=5).draw(taken)
