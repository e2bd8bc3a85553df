"""JPEG, PNG and GIF files cut down to what is drawn, before a decoder sees them.

Comments, profiles, further frames and pictures after the first are left out. What they cost a
decoder is bounded by nothing but the file's size, and costs much: 16 MiB of empty JPEG comments
take Pillow 12 s, and 64 MiB of 98-byte scans of one large JPEG would take hours.
"""

from __future__ import annotations

import struct
import zlib

from neggen.data.exif import PREFIX, only_orientation, overlapping

MOST_SCANS = 100
"""Passes over a JPEG; progressive ones have about ten."""
MOST_SEGMENTS = 1000
"""Parts before a JPEG's first scan that a decoder needs; there are about ten."""

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"
GIF = b"GIF8"
AVIF = b"ftyp"


class OddContainer(Exception):
    """The file is built as no honest file is; the message says how."""


def drawn_part(data: bytes) -> bytes:
    """Return a file that shows the same first picture, with its orientation but little else.

    Other formats than JPEG, PNG and GIF are returned as they are.

    Raises:
        OddContainer: If the file is cut off early, or asks for absurdly many passes.
    """
    try:
        if data.startswith(JPEG):
            return _jpeg(data)
        if data.startswith(PNG):
            return _png(data)
        if data.startswith(GIF):
            return _gif(data)
        if data.startswith(AVIF, 4) and overlapping(data):
            raise OddContainer("built of overlapping metadata")
    except (IndexError, struct.error):
        raise OddContainer("cut off") from None
    return data


def _jpeg(data: bytes) -> bytes:
    kept = [data[:2]]
    at, has_exif = 2, False
    while True:
        at = data.find(b"\xff", at)  # as decoders do, skip what is no marker
        if at < 0:
            raise OddContainer("cut off")
        marker = data[at + 1]
        if marker == 0xDA:  # start of scan: pixels from here on
            break
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # these have no length
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:  # end of image
            raise OddContainer("cut off")
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at : at + 2 + length]
        is_exif = marker == 0xE1 and segment[4:10] == PREFIX and not has_exif
        if is_exif:
            body = PREFIX + only_orientation(segment[4:])
            segment = b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body
        has_exif = has_exif or is_exif
        # Of applications' segments, JFIF and Adobe say how colors are stored. FE is a comment.
        if is_exif or not (0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE)):
            kept.append(segment)
            if len(kept) > MOST_SEGMENTS:
                raise OddContainer(f"over {MOST_SEGMENTS:,} segments")
        at += 2 + length
    scans = data[at:]
    if scans.count(b"\xff\xda") > MOST_SCANS:  # which cannot occur within a scan
        raise OddContainer(f"over {MOST_SCANS} scans")
    return b"".join((*kept, scans))


def _png(data: bytes) -> bytes:
    kept: dict[bytes, bytes] = {}
    pixels = bytearray()
    at = len(PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind == b"IDAT":
            pixels += memoryview(data)[at + 8 : min(end - 4, len(data))]
        elif kind == b"IEND":
            break
        elif kind == b"eXIf":
            kept.setdefault(kind, _chunk(kind, only_orientation(data[at + 8 : end - 4])))
        elif kind in (b"IHDR", b"PLTE", b"tRNS"):
            kept.setdefault(kind, data[at:end])
        at = end
    order = (b"IHDR", b"PLTE", b"tRNS", b"eXIf")  # whatever their order, it must be this
    chunks = [kept[kind] for kind in order if kind in kept]
    return b"".join((PNG, *chunks, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")))


def _chunk(kind: bytes, body: bytes | bytearray) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", checksum)


def _gif(data: bytes) -> bytes:
    flags = data[10]
    at = 13 + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)
    header, control = data[:at], b""
    while data[at] != 0x2C:  # the first frame
        if data[at] == 0x3B:
            raise OddContainer("without a frame")
        if data[at] != 0x21:  # as decoders do, skip what is no block
            at += 1
            continue
        start, at = at, at + 2
        while size := data[at]:
            at += 1 + size
        at += 1
        if data[start + 1] == 0xF9:  # says what is transparent
            control = data[start:at]
    return b"".join((header, control, data[at:]))
