"""What a readable picture is: the one opener of pictures, on import and ever after.

Pictures come from anywhere. Formats are told by their first bytes, never by a name or a header;
only the decoders in ``SIGNATURES`` ever run, and size is checked before anything is decoded.
"""

from __future__ import annotations

import base64
import io
import os
import stat
import threading
import warnings
from contextlib import nullcontext
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from neggen.data.container import OddContainer, drawn_part
from neggen.data.exif import orientation

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64 * 10**6
CHECKED_SIDE = 64
"""Pixels of the longer side where a picture is only opened to see whether that works."""

SIGNATURES: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    ("JPEG", 0, (b"\xff\xd8\xff",)),
    ("PNG", 0, (b"\x89PNG\r\n\x1a\n",)),
    ("GIF", 0, (b"GIF87a", b"GIF89a")),
    ("WEBP", 8, (b"WEBP",)),
    ("AVIF", 4, (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1")),
    ("BMP", 0, (b"BM",)),
)
"""Name, offset and first bytes of each format that is opened."""
REFUSED: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    ("TIFF", 0, (b"II*\0", b"MM\0*")),
    ("HEIC", 4, (b"ftypheic", b"ftypheix", b"ftyphevc")),
    ("PDF", 0, (b"%PDF",)),
    ("PostScript", 0, (b"%!PS", b"\xc5\xd0\xd3\xc6")),
    ("SVG or HTML", 0, (b"<", b"\xef\xbb\xbf<")),
)
"""Formats that people have, named when refused: their decoders do too much, or are missing."""

# Pillow remarks on every damaged tag of a picture's metadata, of which there may be thousands.
warnings.filterwarnings("ignore", module=r"PIL\.")

# At 50 megapixels, decoding takes up to 0.8 GiB: one at a time, however many threads.
_LARGE_PIXELS = 16 * 10**6
_large = threading.Lock()

_TURNS: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets a picture upright, by its Exif orientation."""


class UnreadablePicture(Exception):
    """The bytes are not a picture of an accepted format and size; the message says why."""


def open_picture(data: bytes, longest_side: int) -> Image.Image:
    """Decode a picture as upright RGB on white, scaled down to ``longest_side`` pixels.

    Of animations this is the first frame. 16 bits are scaled to 8. Color profiles are ignored.

    Raises:
        UnreadablePicture: If it is no picture, is cut off or damaged, or too large.
    """
    if len(data) > MAX_BYTES:
        raise UnreadablePicture(f"over {MAX_BYTES // 2**20} MiB")
    kind = _format(data)
    try:
        with Image.open(io.BytesIO(drawn_part(data)), formats=[kind]) as picture:
            pixels = picture.width * picture.height
            if pixels > MAX_PIXELS:
                raise UnreadablePicture(f"over {MAX_PIXELS // 10**6} megapixels")
            if picture.tile and picture.tile[0].codec_name == "bmp_rle":
                raise UnreadablePicture("a run-length coded BMP")  # whose decoder is slow
            with _large if pixels > _LARGE_PIXELS else nullcontext():
                return _upright_rgb(picture, longest_side)
    except (UnreadablePicture, OddContainer) as error:
        raise UnreadablePicture(str(error)) from None
    except UnidentifiedImageError:
        raise UnreadablePicture(f"no valid {kind}") from None
    except Image.DecompressionBombError:
        raise UnreadablePicture(f"over {MAX_PIXELS // 10**6} megapixels") from None
    except Exception as error:
        # Damaged files make the decoders raise nearly anything; all of it means "unreadable".
        told = " ".join(str(error).split())[:60]
        reason = "cut off" if "truncated" in told else f"damaged: {told or type(error).__name__}"
        raise UnreadablePicture(reason) from None


def picture_data_uri(data: bytes, longest_side: int) -> str:
    """Return a picture re-encoded as a JPEG ``data:`` URI.

    Re-encoding drops metadata such as where a photograph was taken.

    Raises:
        UnreadablePicture: See :func:`open_picture`.
    """
    encoded = io.BytesIO()
    open_picture(data, longest_side).save(encoded, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def read_picture_file(path: Path) -> bytes:
    """Return the bytes of a plain file, at most ``MAX_BYTES``; devices and pipes never block.

    Raises:
        UnreadablePicture: If it is no plain file, too large, or cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb") as file:  # noqa: PTH123 (a descriptor, not a path)
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UnreadablePicture("not a plain file")
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UnreadablePicture("no such file") from None
    except IsADirectoryError:
        raise UnreadablePicture("not a plain file") from None
    except OSError as error:
        raise UnreadablePicture(error.strerror or type(error).__name__) from None
    except ValueError:  # of a NUL
        raise UnreadablePicture("no file has such a name") from None
    if len(data) > MAX_BYTES:
        raise UnreadablePicture(f"over {MAX_BYTES // 2**20} MiB")
    return data


def _format(data: bytes) -> str:
    for name, offset, starts in SIGNATURES:
        if data.startswith(starts, offset):
            return name
    for name, offset, starts in REFUSED:
        if data.startswith(starts, offset):
            raise UnreadablePicture(f"{name} is not accepted")
    raise UnreadablePicture("not a picture" if data else "empty")


def _upright_rgb(picture: Image.Image, longest_side: int) -> Image.Image:
    size = (longest_side, longest_side)
    picture.draft("RGB", size)  # lets JPEG decode at a fraction
    picture.load()
    small: Image.Image = picture
    if picture.mode.startswith("I"):  # 16 bits of gray, which convert() would clip
        small = picture.point(lambda level: level * (1 / 257)).convert("L")
    else:
        mode = "RGBA" if picture.has_transparency_data else "RGB"
        if picture.mode != mode:
            small = picture.convert(mode)
    small.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    if small.mode == "RGBA":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    method = _TURNS.get(orientation(picture.info.get("exif", b"")))
    upright = (small if method is None else small.transpose(method)).convert("RGB")
    upright.info = {}  # which some formats would save: profiles, comments
    return upright
