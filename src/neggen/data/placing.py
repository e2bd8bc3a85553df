"""Pictures are copied, so that they stay what was imported; new data take the place of the old."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from neggen.data.dataset import Dataset
from neggen.data.picture import UnreadablePicture, read_picture_file
from neggen.errors import NegGenError
from neggen.workspace import Workspace


def place_pictures(data: Dataset, folder: Path) -> None:
    """Copy the pictures of a data set into ``folder`` and remove what else is there.

    Raises:
        NegGenError: If a picture is not the one any more that was read.
    """
    for source, name, content in _pictures(data):
        target = folder / name
        if target.resolve() == source:
            continue
        _make_way(target, folder)
        target.unlink(missing_ok=True)  # it may be a link to another file, not to be written to
        _write(target, content)
    _remove_others(data, folder)


def copy_pictures(data: Dataset, folder: Path, staged: Path) -> None:
    """Copy into ``staged`` the pictures of a data set that ``folder`` does not hold as they are.

    Raises:
        NegGenError: If a picture is not the one any more that was read.
    """
    for source, name, content in _pictures(data):
        target = folder / name
        if target.resolve() != source and not _holds(target, content):
            _write(staged / name, content)


def put_in_place(workspace: Workspace, staged: Workspace, data: Dataset) -> None:
    """Move what was written to ``staged`` to where it belongs, in place of what was there.

    Args:
        workspace: whose data are replaced.
        staged: the data set and its manifest, in a folder inside of it.
        data: the same data set, whose pictures stay where they are there already.
    """
    workspace.manifest_path.unlink(missing_ok=True)
    for stale in (
        workspace.features_dir,
        workspace.graphs_dir,
        workspace.test_sets_dir,
        workspace.splits_dir,
    ):
        shutil.rmtree(stale, ignore_errors=True)
    for path in _files_under(staged.path):
        if path != staged.manifest_path:
            target = workspace.path / path.relative_to(staged.path)
            _make_way(target, workspace.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    _remove_others(data, workspace.image_dir)
    staged.manifest_path.replace(workspace.manifest_path)


@contextmanager
def imported_alone(workspace: Workspace) -> Iterator[None]:
    """Keep other processes from importing into a workspace for a block."""
    workspace.locks_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(workspace.locks_dir / "import.lock", timeout=0):
            yield
    except Timeout:
        raise NegGenError(
            f"Another process is importing into {workspace.path}; give the same command again when "
            f"that one has ended."
        ) from None


def _pictures(data: Dataset) -> Iterator[tuple[Path, str, bytes]]:
    """Yield the path, the name and the bytes of every picture, which must be those that were read.

    A picture that several items have comes once.
    """
    digests = dict(data.item_table.select("image", "image_sha256").drop_nulls().iter_rows())
    for name, digest in digests.items():
        assert data.image_dir is not None
        source = (data.image_dir / name).resolve()
        try:
            content = read_picture_file(source)
        except UnreadablePicture as error:
            raise NegGenError(f"The picture {source} cannot be read any more ({error}).") from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise NegGenError(
                f"The picture {source} changed after it was read; read the source again."
            )
        yield source, name, content


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file of ours holds these bytes, and is no link to somebody else's."""
    if path.is_symlink() or not path.is_file():
        return False
    about = path.stat()
    same = about.st_nlink == 1 and about.st_size == len(content)
    return same and path.read_bytes() == content


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _remove_others(data: Dataset, folder: Path) -> None:
    placed = {folder / name for name in data.item_table["image"].drop_nulls()}
    for path in _files_under(folder):
        if path not in placed:
            path.unlink()


def _make_way(target: Path, folder: Path) -> None:
    """Remove what an earlier import had where a folder or a picture is to be now."""
    for above in list(target.relative_to(folder).parents)[:-1]:  # without the folder itself
        if not (folder / above).is_dir():
            (folder / above).unlink(missing_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)


def _files_under(folder: Path) -> Iterable[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
