"""Open pictures that came from anywhere, and make them fit to send."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MOST_PIXELS = 50_000_000
"""A picture that claims more is refused before it is decoded."""


class UnreadablePicture(Exception):
    """The bytes are not a picture of a known format and sane size; the message says which."""


def open_picture(data: bytes, longest_side: int) -> Image.Image:
    """Decode a picture as upright RGB on white, scaled down to ``longest_side`` pixels.

    Raises:
        UnreadablePicture: If it cannot be decoded, is cut off, or has too many pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise UnreadablePicture(
                    f"it has {picture.width} × {picture.height} pixels, over {MOST_PIXELS}"
                )
            picture.draft("RGB", (longest_side, longest_side))  # lets JPEG decode at a fraction
            upright = ImageOps.exif_transpose(picture)
            if "A" in upright.getbands() or "transparency" in upright.info:
                layer = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            rgb = upright.convert("RGB")
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        ValueError,
        SyntaxError,  # Pillow's, for a broken PNG
    ) as error:
        raise UnreadablePicture(f"it cannot be decoded ({error})") from None
    rgb.thumbnail((longest_side, longest_side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return rgb


def picture_data_uri(data: bytes, longest_side: int) -> str:
    """Return a picture re-encoded as a JPEG ``data:`` URI.

    Re-encoding drops metadata such as where a photograph was taken.

    Raises:
        UnreadablePicture: See :func:`open_picture`.
    """
    encoded = io.BytesIO()
    open_picture(data, longest_side).save(encoded, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
