"""Pictures are read inside their folder only, and what cannot be read is masked and named."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from neggen.data.dataset import Dataset
from neggen.data.picture import UnreadablePicture, open_picture
from neggen.errors import NegGenError

LOG = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]})


def picture(kind: str = "PNG", color: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 80).convert("RGB").save(buffer, kind)
    return buffer.getvalue() + color.encode()


def bomb() -> bytes:
    """A tiny PNG that claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def read(folder: Path, *names: str | None, **options: str) -> Dataset:
    items = pl.DataFrame({"item_id": ["a", *"bcdefgh"[: len(names) - 1]], "image": list(names)})
    return Dataset.from_frames(LOG, items, folder, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF"])
def test_a_picture_is_found_and_its_bytes_are_hashed(tmp_path: Path, kind: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "1.pic").write_bytes(picture(kind))
    data = read(tmp_path, "sub/1.pic", None)
    assert data.image_path(0) == tmp_path / "sub" / "1.pic"
    assert data.image_path(1) is None
    digest = hashlib.sha256((tmp_path / "sub" / "1.pic").read_bytes()).hexdigest()
    assert data.item_table["image_sha256"].to_list() == [digest, None]
    assert data.notes == ()


def test_the_hash_changes_with_the_bytes_of_a_picture(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(picture(color="red"))
    before = read(tmp_path, "1.png").content_hash
    assert read(tmp_path, "1.png").content_hash == before
    (tmp_path / "1.png").write_bytes(picture(color="blue"))
    assert read(tmp_path, "1.png").content_hash != before


def test_unreadable_pictures_are_masked_and_named(tmp_path: Path) -> None:
    whole = picture("JPEG")
    (tmp_path / "good.jpg").write_bytes(whole)
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "bomb.png").write_bytes(bomb())
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "program.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    data = read(
        tmp_path, "cut.jpg", "good.jpg", "gone.jpg", "text.jpg", "empty.jpg", "bomb.png",
        "folder.jpg", "program.jpg",
    )  # fmt: skip
    assert [data.image_path(item) is not None for item in range(8)] == [False, True] + [False] * 6
    (note,) = data.notes
    assert note.startswith("Masked 7 of 8 pictures that cannot be read: cut.jpg (")
    assert "gone.jpg (no such file), text.jpg (not a picture), …" in note


@pytest.mark.parametrize(
    ("kind", "reason"), [("PPM", "not a picture"), ("TIFF", "TIFF is not accepted")]
)
def test_rare_formats_are_not_decoded(tmp_path: Path, kind: str, reason: str) -> None:
    (tmp_path / "1.png").write_bytes(picture(kind))
    assert f"1.png ({reason})" in read(tmp_path, "1.png").notes[0]


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb())
    assert "bomb.png (over 64 megapixels)" in read(tmp_path, "bomb.png").notes[0]


def test_what_is_accepted_can_be_opened_ever_after(tmp_path: Path) -> None:
    samples = {
        "1.jpg": picture("JPEG"),
        "2.jpg": picture("JPEG")[:900],
        "3.png": bomb(),
        "4.tif": picture("TIFF"),
    }
    for name, content in samples.items():
        (tmp_path / name).write_bytes(content)
    data = read(tmp_path, *samples)
    for item, (name, content) in enumerate(samples.items()):
        try:
            opened = open_picture(content, 768)
        except UnreadablePicture:
            assert data.image_path(item) is None, name
        else:
            assert data.image_path(item) is not None, name
            assert opened.mode == "RGB"
    assert data.item_table["image"].null_count() == 3


def test_items_may_share_a_picture(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(picture())
    data = read(tmp_path, "1.png", None, "1.png", "2.png", "2.png")
    assert data.item_table["image"].to_list() == ["1.png", None, "1.png", None, None]
    assert data.item_table["image_sha256"].n_unique() == 2
    assert data.notes[0].startswith("Masked 2 of 4 pictures")


def test_devices_and_pipes_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.png")
    assert "1.png (not a plain file)" in read(tmp_path, "1.png").notes[0]
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(NegGenError, match="lies outside"):
        read(tmp_path, "zero.png")
    assert "zero (not a plain file)" in read(Path("/dev"), "zero").notes[0]


def test_names_are_printed_without_control_characters(tmp_path: Path) -> None:
    data = read(tmp_path, "a\0b.png", "\x1b[31mred.png")
    assert data.item_table["image"].null_count() == 2
    assert "a?b.png (no file has such a name), ?[31mred.png (no such file)" in data.notes[0]


def test_web_addresses_are_told_apart(tmp_path: Path) -> None:
    data = read(tmp_path, "HTTPS://shop.example/../1.jpg")
    assert "1.jpg (a web address, for --download-images)" in data.notes[0]


@pytest.mark.parametrize(
    "name", ["/etc/hosts", "../out.png", "sub/../../out.png", "C:\\out.png", "sub\\..\\..\\out.png"]
)
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (tmp_path / "out.png").write_bytes(picture())
    with pytest.raises(NegGenError, match="of item 'b' lies outside"):
        read(folder, None, name)


@pytest.mark.parametrize("through", ["file", "folder"])
def test_symbolic_links_that_leave_the_folder_are_refused(tmp_path: Path, through: str) -> None:
    folder, outside = tmp_path / "pictures", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "1.png").write_bytes(picture())
    if through == "file":
        (folder / "1.png").symlink_to(outside / "1.png")
        name = "1.png"
    else:
        (folder / "link").symlink_to(outside)
        name = "link/1.png"
    with pytest.raises(NegGenError, match=f"'{name}' of item 'a' lies outside"):
        read(folder, name)


def test_symbolic_links_within_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(picture())
    (tmp_path / "2.png").symlink_to(tmp_path / "1.png")
    assert read(tmp_path, "2.png").notes == ()


def test_strange_names_are_masked(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    data = read(tmp_path, "https://shop.example/1.jpg", "x" * 5000, "loop.png", "")
    assert data.item_table["image"].null_count() == 4
    assert "Masked 3 of 3" in data.notes[0]


def test_missing_folder_or_column(tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match=r"folder .*nowhere does not exist"):
        read(tmp_path / "nowhere", "1.png")
    with pytest.raises(NegGenError, match=r"'photo'.*item_id, image"):
        read(tmp_path, "1.png", image_column="photo")


def test_pictures_without_a_folder_are_masked() -> None:
    items = pl.DataFrame({"item_id": ["a"], "image": ["1.png"]})
    assert "no picture folder" in Dataset.from_frames(LOG, items).notes[0]


def test_another_column_may_hold_the_paths(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(picture())
    items = pl.DataFrame({"item_id": ["a"], "photo": ["1.png"]})
    data = Dataset.from_frames(LOG, items, tmp_path, image_column="photo")
    assert data.image_path(0) == tmp_path / "1.png"
