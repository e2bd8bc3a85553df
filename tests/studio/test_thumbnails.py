"""Thumbnails: small, re-encoded, and never a reason to fail for a strange picture."""

from __future__ import annotations

import base64
import io

import polars as pl
import pytest
from PIL import Image

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.studio.pictures import Thumbnails


@pytest.fixture
def data(tmp_path) -> Dataset:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    exif[0x010E] = "secret place"
    Image.new("RGB", (400, 200), "red").save(tmp_path / "big.jpg", exif=exif)
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGB", (10, 10)).save(tmp_path / "odd.tiff")
    items = pl.DataFrame(
        {"item_id": list("abcd"), "image": ["big.jpg", "clear.png", "odd.tiff", None]}
    )
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]})
    return Dataset.from_frames(log, items, image_dir=tmp_path)


def opened(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_upright_small_and_without_metadata(data):
    thumbnail = opened(Thumbnails(data).get(0, 100))
    assert thumbnail.size == (50, 100)
    assert not thumbnail.getexif()


def test_transparent_becomes_white(data):
    assert opened(Thumbnails(data).get(1, 100)).convert("RGB").getpixel((5, 5)) == (255, 255, 255)


def test_no_picture_or_none_that_can_be_shown(data):
    thumbnails = Thumbnails(data)
    assert thumbnails.get(2, 100) is None
    assert thumbnails.get(3, 100) is None


def test_a_picture_that_is_gone_is_an_error(data):
    (data.image_dir / "big.jpg").unlink()
    with pytest.raises(NegGenError, match=r"big\.jpg"):
        Thumbnails(data).get(0, 100)
