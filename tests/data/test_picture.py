"""One opener for pictures from anywhere: what it shows, what it refuses, and at what cost."""

from __future__ import annotations

import base64
import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neggen.data.picture import (
    MAX_BYTES,
    UnreadablePicture,
    open_picture,
    picture_data_uri,
    read_picture_file,
)

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, kind: int = 2) -> bytes:
    """A PNG of exactly these chunks."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def near(picture: Image.Image, at: tuple[int, int], color: tuple[int, int, int]) -> bool:
    seen = picture.getpixel(at)
    assert isinstance(seen, tuple)
    return all(abs(one - other) < 12 for one, other in zip(seen, color, strict=True))


def refusal(data: bytes) -> str:
    with pytest.raises(UnreadablePicture) as caught:
        open_picture(data, 600)
    return str(caught.value)


# -- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_shows_its_picture(form: str) -> None:
    picture = Image.new("RGB", (60, 40), RED)
    picture.paste(GREEN, (30, 0, 60, 40))
    shown = open_picture(encoded(picture, form), 600)
    assert (shown.mode, shown.size) == ("RGB", (60, 40))
    assert near(shown, (5, 20), RED)
    assert near(shown, (55, 20), GREEN)


def test_a_large_picture_is_scaled_and_keeps_its_shape() -> None:
    assert open_picture(encoded(Image.new("RGB", (3000, 1500)), "JPEG"), 600).size == (600, 300)
    assert open_picture(encoded(Image.new("RGB", (30, 15))), 600).size == (30, 15)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photograph_is_set_upright(form: str, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), "blue")
    upright.paste(RED, (0, 0, 24, 16))
    upright.paste(GREEN, (24, 0, 48, 16))
    turn = [
        None, None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90,
        Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_270,
    ][orientation]  # fmt: skip
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = open_picture(encoded(stored, form, exif=exif, quality=95), 600)
    assert shown.size == (48, 32)
    assert near(shown, (4, 4), RED)
    assert near(shown, (44, 4), GREEN)
    assert near(shown, (24, 28), (0, 0, 255))


def test_broken_metadata_do_not_spoil_a_picture() -> None:
    body = b"rubbish and more rubbish"
    data = encoded(Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\0\0" + body)
    assert near(open_picture(data, 600), (4, 4), RED)
    whole = encoded(Image.new("RGB", (8, 8), RED))
    assert near(open_picture(whole[:33] + chunk(b"eXIf", body) + whole[33:], 600), (4, 4), RED)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF"])
def test_transparency_becomes_white(form: str) -> None:
    picture = Image.new("RGBA", (16, 8), (255, 0, 0, 0))
    picture.paste((255, 0, 0, 128), (8, 0, 16, 8))
    shown = open_picture(encoded(picture, form), 600)
    assert shown.mode == "RGB"
    assert near(shown, (2, 4), WHITE)
    assert near(shown, (13, 4), (255, 127, 127))


def test_every_kind_of_transparency() -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    for form in ("PNG", "GIF"):
        assert near(open_picture(encoded(palette, form, transparency=1), 600), (1, 1), WHITE)
        assert near(open_picture(encoded(palette, form, transparency=0), 600), (1, 1), GREEN)
    several = encoded(palette, "PNG", transparency=bytes([255, 128]))
    assert near(open_picture(several, 600), (1, 1), (127, 255, 127))
    gray = encoded(Image.new("LA", (4, 4), (0, 0)))
    assert near(open_picture(gray, 600), (1, 1), WHITE)
    for mode, key, color in (("L", 7, 7), ("RGB", (1, 2, 3), (1, 2, 3)), ("1", 1, 1)):
        keyed = encoded(Image.new(mode, (4, 4), color), transparency=key)  # type: ignore[arg-type]
        assert near(open_picture(keyed, 600), (1, 1), WHITE), mode


def test_edges_do_not_take_the_color_of_what_is_transparent() -> None:
    picture = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 199, 400))
    shown = np.asarray(open_picture(encoded(picture), 100))
    assert shown[:, :, 0].min() > 250, "between red and white, there is no dark red"


@pytest.mark.parametrize("transparency", [None, 0])
def test_sixteen_bits_are_scaled(transparency: int | None) -> None:
    levels = np.array([[0, 100 * 257, 200 * 257, 65535]], dtype=np.uint16)
    more = {} if transparency is None else {"transparency": transparency}
    shown = open_picture(encoded(Image.fromarray(levels), **more), 600)
    assert [shown.getpixel((x, 0)) for x in range(4)] == [
        (0, 0, 0), (100, 100, 100), (200, 200, 200), WHITE,
    ]  # fmt: skip
    row = b"\0" + struct.pack(">HHH", 65535, 100 * 257, 0)
    color = png(1, 1, chunk(b"IDAT", zlib.compress(row)), depth=16)
    assert open_picture(color, 600).getpixel((0, 0)) == (255, 100, 0)


def test_print_colors_as_adobe_stores_them() -> None:
    data = encoded(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    assert near(open_picture(data, 600), (8, 8), RED)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF"])
def test_of_an_animation_the_first_frame_is_shown(form: str) -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in ("lime", "red", "blue")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=50)
    assert near(open_picture(data, 600), (10, 10), GREEN)


def test_a_gif_keeps_what_is_transparent_behind_comments() -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    data = encoded(palette, "GIF", transparency=1, comment=b"long " * 200)
    assert near(open_picture(data, 600), (1, 1), WHITE)


def test_several_pictures_in_a_photograph_are_one() -> None:
    more = [Image.new("RGB", (20, 20), "red")]
    data = encoded(Image.new("RGB", (20, 20), "lime"), "MPO", save_all=True, append_images=more)
    assert near(open_picture(data, 600), (10, 10), GREEN)


@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (60_000, 1)])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP"])
def test_tiny_and_thin_pictures(form: str, size: tuple[int, int]) -> None:
    shown = open_picture(encoded(Image.new("RGB", size, RED), form), 600)
    assert max(shown.size) == min(max(size), 600)
    assert min(shown.size) == 1
    assert near(shown, (0, 0), RED)


def test_metadata_are_not_sent() -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    data = encoded(Image.new("RGB", (4, 4)), "JPEG", exif=exif, comment=b"secret", xmp=b"secret")
    assert open_picture(data, 600).info == {}
    uri = picture_data_uri(data, 600)
    assert uri.startswith("data:image/jpeg;base64,")
    assert b"secret" not in base64.b64decode(uri.partition(",")[2])


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no picture", "not a picture"),
        (b"<svg onload='x'/>", "SVG or HTML is not accepted"),
        (b"%PDF-1.7", "PDF is not accepted"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript is not accepted"),
        (encoded(Image.new("RGB", (4, 4)), "TIFF"), "TIFF is not accepted"),
        (encoded(Image.new("RGB", (4, 4)), "PPM"), "not a picture"),
        (b"\0\0\0\x18ftypheic", "HEIC is not accepted"),
        (png(9000, 9000), "over 64 megapixels"),
        (png(90_000, 90_000), "over 64 megapixels"),
        (png(0, 4), "no valid PNG"),
        (png(100, 100), "cut off"),
        (b"BM" + bytes(MAX_BYTES), "over 64 MiB"),
    ],
)
def test_what_is_no_sane_picture_is_refused(data: bytes, reason: str) -> None:
    assert refusal(data).startswith(reason)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_what_is_cut_off_is_refused(form: str, share: float) -> None:
    whole = encoded(Image.effect_noise((200, 200), 90).convert("RGB"), form)
    assert refusal(whole[: int(share * len(whole))])


def test_a_bomb_in_every_format_is_refused_before_it_is_decoded() -> None:
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b","
    gif += struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x08\0;"
    bmp = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54)
    bmp += struct.pack("<IiiHHIIiiII", 40, 30_000, -30_000, 1, 24, 0, 0, 0, 0, 0, 0)
    jpeg = bytearray(encoded(Image.new("L", (8, 8)), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    for data in (gif, bmp, bytes(jpeg)):
        assert refusal(data) == "over 64 megapixels"


def test_a_run_length_coded_bitmap_is_refused() -> None:
    head = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024)
    head += struct.pack("<IiiHHIIiiII", 40, 4000, 4000, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1024)
    assert refusal(head + b"\xff\x05" * 1000) == "a run-length coded BMP"


def test_a_jpeg_of_endlessly_many_scans_is_refused() -> None:
    data = encoded(Image.new("L", (640, 640)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xc4", 0, data.rindex(b"\xff\xda")) : -2]
    assert open_picture(data[:-2] + last * 5 + data[-2:], 600)
    assert refusal(data[:-2] + last * 200 + data[-2:]) == "over 100 scans"
    tables = data[data.index(b"\xff\xdb") : data.index(b"\xff\xc2")]
    assert refusal(data[:2] + tables * 1000 + data[2:]) == "over 1,000 segments"


# -- what it costs ------------------------------------------------------------------------------

FLOODS: dict[str, Callable[[], bytes]] = {
    "comments": lambda: _spliced("JPEG", 2, b"\xff\xfe\0\2" * 2**19),
    "exif segments": lambda: _spliced("JPEG", 2, b"\xff\xe1\0\x08Exif\0\0" * 2**17),
    "chunks": lambda: _spliced("PNG", 33, chunk(b"abCd", b"") * 2**17),
    "compressed text": lambda: _spliced(
        "PNG", 33, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(900_000))) * 1000
    ),
    "a huge profile": lambda: _spliced(
        "PNG", 33, chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(2**26)))
    ),
    "overlapping exif": lambda: _spliced("PNG", 33, chunk(b"eXIf", _overlapping_exif(65_000))),
    "overlapping exif in webp": lambda: encoded(
        Image.new("RGB", (8, 8), RED), "WEBP", exif=_overlapping_exif(2**20)
    ),
    "overlapping exif in jpeg": lambda: encoded(
        Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\0\0" + _overlapping_exif(65_000)
    ),
    "frames": lambda: _spliced("GIF", -1, b"\x21\xfe\1a\0" * 2**19),
    "gif comments": lambda: _spliced("GIF", b",", b"\x21\xfe\1a\0" * 2**19),
}


def _spliced(form: str, at: int | bytes, flood: bytes) -> bytes:
    whole = encoded(Image.new("RGB", (8, 8), RED), form)
    if isinstance(at, bytes):
        at = whole.index(at, 13)
    return whole[:at] + flood + whole[at:]


def _overlapping_exif(size: int) -> bytes:
    """Thousands of tags, each of which claims nearly all of the bytes."""
    tags = min(size // 12 - 2, 60_000)
    entries = [struct.pack("<HHII", tag, 1, size - 100, 8) for tag in range(1000, 1000 + tags)]
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + b"".join(entries)).ljust(size, b"\0")


CHILD = """
import sys, time
from pathlib import Path
from neggen.data.picture import open_picture

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024

data = sys.stdin.buffer.read()
before, began = peak(), time.process_time()
assert open_picture(data, 600).getpixel((4, 4))[0] > 240
print(peak() - before, time.process_time() - began)
"""


@pytest.mark.filterwarnings("ignore:Tag data larger")
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.parametrize("name", FLOODS)
def test_floods_cost_no_more_than_their_size(name: str) -> None:
    data = FLOODS[name]()
    told = subprocess.run(
        [sys.executable, "-c", CHILD], input=data, capture_output=True, timeout=60, check=True
    )
    mebibytes, seconds = told.stdout.split()
    assert int(mebibytes) < 30
    assert float(seconds) < 4, "processor time, of which this takes a tenth of a second"


def test_an_avif_of_overlapping_metadata_is_refused() -> None:
    # Pillow 12 would take tens of gigabytes for it as soon as it is opened.
    flood = _overlapping_exif(2**20)
    honest = b"II*\0\x08\0\0\0".ljust(len(flood), b"\0")  # or writing it would take as much
    data = encoded(Image.new("RGB", (8, 8), RED), "AVIF", exif=honest).replace(honest, flood)
    assert flood in data
    with pytest.raises(UnreadablePicture, match="overlapping metadata"):
        open_picture(data, 600)


# -- files --------------------------------------------------------------------------------------


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"12345")
    assert read_picture_file(tmp_path / "good") == b"12345"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    reasons = {
        tmp_path / "gone": "no such file",
        tmp_path: "not a plain file",
        tmp_path / "pipe": "not a plain file",
        Path("/dev/zero"): "not a plain file",
        tmp_path / "loop": "Too many levels of symbolic links",
        tmp_path / ("x" * 5000): "File name too long",
        tmp_path / "a\0b": "no file has such a name",
        tmp_path / "good" / "1": "Not a directory",
        tmp_path / "large": "over 64 MiB",
    }
    for path, reason in reasons.items():
        with pytest.raises(UnreadablePicture, match=f"^{reason}$"):
            read_picture_file(path)
