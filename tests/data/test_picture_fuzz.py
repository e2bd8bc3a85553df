"""Damaged and dishonest pictures by the thousand: refused or shown, quickly and in little memory.

They run in a process of their own, whose memory is limited and whose end is looked at: a decoder
that crashes takes its process with it.
"""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

FORMATS = ("JPEG", "JPEG progressive", "PNG", "PNG palette", "APNG", "WEBP", "WEBP lossless",
           "GIF", "GIF animated", "BMP", "AVIF", "MPO", "PNG 16", "JPEG CMYK")  # fmt: skip
ROUNDS = 200
"""Damaged pictures of each format."""
MEBIBYTES = 300
"""What the process may grow by; a lying header may claim 64 megapixels, which take 244."""


def valid(form: str) -> bytes:
    """A small picture of noise and a plain part, in some format."""
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    noise[:, 20:] = (200, 30, 60)
    picture = Image.fromarray(noise)
    file, name, _, kind = io.BytesIO(), *form.partition(" ")
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, object] = {}
    if kind == "animated" or name in ("APNG", "MPO"):
        name = name.replace("APNG", "PNG")
        options = {"save_all": True, "append_images": [picture.rotate(90)]}
    elif kind == "progressive":
        options = {"progressive": True, "exif": exif, "comment": b"a remark"}
    elif kind == "lossless":
        picture.putalpha(100)
        options = {"lossless": True, "exif": exif}
    elif kind == "palette":
        picture = picture.quantize(16)
        options = {"transparency": 3}
    elif kind == "16":
        picture = Image.fromarray(noise[:, :, 0].astype(np.uint16) * 257)
    elif kind == "CMYK":
        picture = picture.convert("CMYK")
    picture.save(file, name, **options)
    return file.getvalue()


def damaged(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """One of many ways to spoil a file."""
    spoiled = bytearray(data)
    how = draw.randrange(8)
    if how == 0:  # flip bits anywhere
        for _ in range(draw.randint(1, 20)):
            spoiled[draw.randrange(len(spoiled))] ^= 1 << draw.randrange(8)
    elif how == 1:  # cut off
        del spoiled[draw.randrange(len(spoiled)) :]
    elif how == 2:  # lie in the header
        for _ in range(draw.randint(1, 4)):
            spoiled[draw.randrange(min(64, len(spoiled)))] = draw.choice((0, 1, 127, 128, 255))
    elif how == 3:  # splice a piece of another file
        start, at = draw.randrange(len(other)), draw.randrange(len(spoiled))
        spoiled[at:at] = other[start : start + draw.randint(1, 400)]
    elif how == 4:  # repeat a piece
        start = draw.randrange(len(spoiled))
        piece = spoiled[start : start + draw.randint(1, 100)]
        spoiled[start:start] = piece * draw.randint(1, 200)
    elif how == 5:  # leave a piece out
        start = draw.randrange(len(spoiled))
        del spoiled[start : start + draw.randint(1, 60)]
    elif how == 6:  # a large number somewhere
        width = draw.choice((2, 4))
        at = draw.randrange(max(1, min(len(spoiled) - width, 200)))
        number = draw.choice((0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1))
        order = draw.choice("<>") + ("H" if width == 2 else "I")
        spoiled[at : at + width] = struct.pack(order, number & (2 ** (8 * width) - 1))
    else:  # the head of one, the body of another
        at = draw.randrange(min(len(spoiled), len(other)))
        spoiled[at:] = other[at:]
    if spoiled.startswith(b"\x89PNG") and draw.random() < 0.7:
        return with_right_checksums(bytes(spoiled))
    return bytes(spoiled)


def with_right_checksums(png: bytes) -> bytes:
    """Damage that a checksum would have found gets further."""
    fixed, at = bytearray(png), 8
    while at + 12 <= len(fixed):
        (length,) = struct.unpack_from(">I", fixed, at)
        end = at + 8 + length
        if end + 4 > len(fixed):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(fixed[at + 4 : end]))
        at = end + 4
    return bytes(fixed)


def all_damaged(seed: int) -> Iterator[tuple[str, bytes]]:
    whole = {form: valid(form) for form in FORMATS}
    for form in FORMATS:
        for number in range(ROUNDS):
            draw = random.Random(f"{seed} {form} {number}")
            yield form, damaged(whole[form], whole[draw.choice(FORMATS)], draw)


CHILD = """
import json, struct, sys, time
from pathlib import Path
from neggen.data.picture import UnreadablePicture, open_picture

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024

open_picture(sys.stdin.buffer.read(struct.unpack("<I", sys.stdin.buffer.read(4))[0]), 48)
before, slowest, outcomes, number = peak(), 0.0, [], 0
while head := sys.stdin.buffer.read(4):
    data = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
    print(number, file=sys.stderr)  # the last one, if this process dies of it
    number += 1
    began = time.process_time()
    try:
        shown = open_picture(data, 48)
    except UnreadablePicture as error:
        outcomes.append(str(error))
    else:
        assert shown.mode == "RGB", shown.mode
        assert 1 <= min(shown.size) <= max(shown.size) <= 48, shown.size
        assert len(shown.tobytes()) == 3 * shown.width * shown.height
        outcomes.append("")
    slowest = max(slowest, time.process_time() - began)
print(json.dumps({"grown": peak() - before, "slowest": slowest, "outcomes": outcomes}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.parametrize("seed", [0])
def test_damaged_pictures_do_no_harm(seed: int) -> None:
    samples = list(all_damaged(seed))
    assert len(samples) >= 1000
    sent = [valid("JPEG"), *(data for _, data in samples)]
    ended = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=b"".join(struct.pack("<I", len(data)) + data for data in sent),
        capture_output=True,
        timeout=120,
    )
    last = ended.stderr.decode(errors="replace").strip().splitlines()[-5:]
    assert ended.returncode == 0, f"the process ended with {ended.returncode}: {last}"
    told = json.loads(ended.stdout)
    assert len(told["outcomes"]) == len(samples)
    assert told["grown"] < MEBIBYTES
    assert told["slowest"] < 5, "processor seconds for one picture"
    shown, refused = Counter[str](), Counter[str]()
    for (form, _), reason in zip(samples, told["outcomes"], strict=True):
        (refused if reason else shown)[form] += 1
    # Were nothing shown or nothing refused of a format, nothing much would have been tried.
    assert all(shown[form] >= 5 and refused[form] >= 5 for form in FORMATS), (shown, refused)
    for reason in set(told["outcomes"]):
        assert len(reason) < 100
        assert reason.isprintable()
