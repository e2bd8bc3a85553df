"""The one thing that a picture's metadata are asked: which way up it is.

Pillow before 13 copies what each of thousands of tags claims to be its own, so that it is neither
asked nor handed the metadata of strangers.
"""

from __future__ import annotations

import struct

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
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (tags,) = struct.unpack_from(f"{order}H", exif, start)
        for number in range(tags):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * number)
            if tag == ORIENTATION:
                return int(value)
    except struct.error:  # it ends early
        pass
    return UPRIGHT


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
            if found > MOST_HEADERS or _claimed(memoryview(data)[at:], order) > len(data):
                return True
            at = data.find(header, at + 1)
    return False


def _claimed(exif: memoryview, order: str) -> int:
    """Return how many bytes the tags of the first directory claim."""
    total = 0
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (tags,) = struct.unpack_from(f"{order}H", exif, start)
        for number in range(tags):
            _, kind, count = struct.unpack_from(f"{order}HHI", exif, start + 2 + 12 * number)
            total += min(count * WIDTHS.get(kind, 1), len(exif))
    except struct.error:  # it ends early
        pass
    return total
