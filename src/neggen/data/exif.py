"""The one thing that a picture's metadata are asked: which way up it is.

Pillow before 13 copies what each of thousands of tags claims to be its own, so that it is neither
asked nor handed the metadata of strangers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

PREFIX = b"Exif\0\0"
ORIENTATION = 0x0112
UPRIGHT = 1
WIDTHS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Bytes of a value by its kind, where that is not 1."""
MOST_HEADERS = 100
"""Places of a file that may look like metadata."""


def orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8; upright if the metadata are damaged or tell nothing."""
    exif = exif.removeprefix(PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return UPRIGHT
    return next((tag.value for tag in _tags(exif, order) if tag.number == ORIENTATION), UPRIGHT)


def only_orientation(exif: bytes) -> bytes:
    """Return metadata that tell the same orientation and nothing else, without the prefix."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, ORIENTATION, 3, 1, orientation(exif), 0, 0)


def overlapping(data: bytes) -> bool:
    """Return whether metadata anywhere in a file claim more bytes than the file has.

    Tags of honest metadata do not overlap. Pillow before 13 reads an AVIF's when it opens it.
    """
    found = 0
    for header, order in ((b"II*\0", "<"), (b"MM\0*", ">")):
        at = data.find(header)
        while at >= 0:
            found += 1
            rest = memoryview(data)[at:]
            claims = (tag.values * WIDTHS.get(tag.kind, 1) for tag in _tags(rest, order))
            if found > MOST_HEADERS or sum(min(claim, len(rest)) for claim in claims) > len(data):
                return True
            at = data.find(header, at + 1)
    return False


class _Tag(NamedTuple):
    """A tag: its number, the kind of its values, how many these are, and the value if short."""

    number: int
    kind: int
    values: int
    value: int


def _tags(exif: bytes | memoryview, order: str) -> Iterator[_Tag]:
    """Yield the tags of the first directory, as far as there are any."""
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (tags,) = struct.unpack_from(f"{order}H", exif, start)
        for number in range(tags):
            yield _Tag(*struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * number))
    except struct.error:  # it ends early
        return
