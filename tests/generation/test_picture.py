from __future__ import annotations

import base64
import io
import struct
import zlib

import pytest
from PIL import Image

from neggen.generation.picture import UnreadablePicture, open_picture, picture_data_uri


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def test_a_large_picture_is_scaled_and_keeps_its_shape() -> None:
    assert open_picture(encoded(Image.new("RGB", (3000, 1500)), "JPEG"), 600).size == (600, 300)
    assert open_picture(encoded(Image.new("RGB", (30, 15))), 600).size == (30, 15)


def test_a_rotated_photograph_is_set_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    assert open_picture(encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif), 600).size == (
        20,
        40,
    )


def test_transparency_becomes_white() -> None:
    clear = open_picture(encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0))), 600)
    assert clear.mode == "RGB"
    assert clear.getpixel((0, 0)) == (255, 255, 255)


def test_metadata_are_not_sent() -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    uri = picture_data_uri(encoded(Image.new("RGB", (4, 4)), "JPEG", exif=exif), 600)
    assert uri.startswith("data:image/jpeg;base64,")
    assert b"secret" not in base64.b64decode(uri.partition(",")[2])


def png_claiming(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + checksum


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg onload='x'/>",
        encoded(Image.effect_noise((300, 300), 90), "JPEG")[:2000],
        png_claiming(100, 100),
        png_claiming(9000, 9000),
        png_claiming(90000, 90000),
    ],
)
def test_what_is_no_sane_picture_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadablePicture):
        open_picture(data, 600)
