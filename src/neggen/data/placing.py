"""The pictures of a workspace: copies, so that they stay what was imported."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from neggen.data.dataset import Dataset
from neggen.data.picture import UnreadablePicture, read_picture_file
from neggen.errors import NegGenError


def place_pictures(data: Dataset, folder: Path) -> None:
    """Copy the pictures of a data set into ``folder`` and remove what else is there.

    Raises:
        NegGenError: If a picture is not the one any more that was read.
    """
    digests = dict(data.item_table.select("image", "image_sha256").drop_nulls().iter_rows())
    for name, digest in digests.items():
        assert data.image_dir is not None
        _copy_picture((data.image_dir / name).resolve(), folder, name, digest)
    placed = {folder / name for name in digests}
    for path in _files_under(folder):
        if path not in placed:
            path.unlink()


def _copy_picture(source: Path, folder: Path, name: str, digest: str) -> None:
    """Copy the picture whose bytes had this SHA-256 when the data set was made."""
    target = folder / name
    try:
        content = read_picture_file(source)
    except UnreadablePicture as error:
        raise NegGenError(f"The picture {source} cannot be read any more ({error}).") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise NegGenError(f"The picture {source} changed after it was read; read the source again.")
    if target.resolve() == source:
        return
    _make_way(target, folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # it may be a link to another file, not to be written through
    target.write_bytes(content)


def _make_way(target: Path, folder: Path) -> None:
    """Remove what an earlier import had where a folder or a picture is to be now."""
    for above in list(target.relative_to(folder).parents)[:-1]:  # without the folder itself
        if not (folder / above).is_dir():
            (folder / above).unlink(missing_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)


def _files_under(folder: Path) -> Iterable[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
