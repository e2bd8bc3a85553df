"""Pictures: found inside their folder, decoded once, and masked where that fails."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath

import polars as pl

from neggen.data.picture import CHECKED_SIDE, UnreadablePicture, open_picture, read_picture_file
from neggen.errors import NegGenError

NAMED_IN_NOTE = 3
QUEUED = 1000
"""Pictures that wait for a thread: what waits takes memory."""


def check_images(
    items: pl.DataFrame, column: str, folder: Path | None, notes: list[str]
) -> pl.DataFrame:
    """Return ``items`` with ``image`` null where there is no readable picture, and its digest.

    Args:
        items: one row an item.
        column: the column of picture paths relative to ``folder``, renamed to ``image``.
        folder: the picture folder; without one every picture counts as missing.
        notes: gets one sentence that counts what was masked and names the first few.

    Returns:
        ``items`` with the string columns ``image`` and ``image_sha256`` (of the file's bytes).

    Raises:
        NegGenError: If ``folder`` does not exist, a path leaves it, or a column other than
            ``image`` was asked for and is not there.
    """
    if column != "image":
        if column not in items.columns or "image" in items.columns:
            problem = "already have a column 'image'" if column in items.columns else "lack it"
            raise NegGenError(
                f"Pictures should come from column '{column}', but the items {problem}; they have "
                f"{', '.join(items.columns)}."
            )
        items = items.rename({column: "image"})
    if "image" not in items.columns:
        nothing = pl.lit(None, dtype=pl.String)
        return items.with_columns(image=nothing, image_sha256=nothing)
    if items["image"].dtype not in (pl.String, pl.Null):
        raise NegGenError(
            f"Column 'image' of the items holds {items['image'].dtype}; give paths as text."
        )
    names = [name or None for name in items["image"].cast(pl.String)]
    if folder is None:
        outcomes: list[tuple[str | None, str]] = [(None, "no picture folder given")] * len(names)
    else:
        paths = _resolve(items["item_id"], names, folder)
        outcomes = _check_all(paths)
    masked = [
        f"{shown(name)} ({reason})"
        for name, (digest, reason) in zip(names, outcomes, strict=True)
        if name is not None and digest is None
    ]
    if masked:
        more = ", …" if len(masked) > NAMED_IN_NOTE else ""
        total = sum(name is not None for name in names)
        notes.append(
            f"Masked {len(masked):,} of {total:,} pictures that cannot be read: "
            f"{', '.join(masked[:NAMED_IN_NOTE])}{more}."
        )
    digests = pl.Series([digest for digest, _ in outcomes], dtype=pl.String)
    kept = pl.Series(names, dtype=pl.String).zip_with(
        digests.is_not_null(), pl.Series([None], dtype=pl.String)
    )
    return items.with_columns(image=kept, image_sha256=digests)


def shown(name: str) -> str:
    """Return a name from anywhere as it may be printed: short, and without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:80])


def _resolve(ids: pl.Series, names: list[str | None], folder: Path) -> list[Path | str]:
    """Return the real path of each picture, all inside ``folder``, or why there is none."""
    if not folder.is_dir():
        raise NegGenError(f"The picture folder {folder} does not exist.")
    root = folder.resolve()
    paths: list[Path | str] = []
    for item, name in zip(ids, names, strict=True):
        unusable = _unusable(name)
        if name is None or unusable:
            paths.append(unusable)
            continue
        path = _inside(name, root)
        if path is None:
            raise NegGenError(
                f"The picture {name!r} of item '{item}' lies outside {folder}; "
                f"give a path relative to the picture folder."
            )
        paths.append(path)
    return paths


def _unusable(name: str | None) -> str:
    if name is None:
        return "none"
    if name.lower().startswith(("http://", "https://")):
        return "a web address, for --download-images"
    return "no file has such a name" if "\0" in name else ""


def _inside(name: str, root: Path) -> Path | None:
    windows = PureWindowsPath(name)  # splits at both kinds of slash
    if windows.anchor or PurePosixPath(name).is_absolute() or ".." in windows.parts:
        return None
    path = Path(os.path.realpath(root / name))  # follows links, which may lead outside
    return path if path.is_relative_to(root) else None


def _check_all(paths: list[Path | str]) -> list[tuple[str | None, str]]:
    """Return the digest of each picture, or None and the reason why there is none."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        once = list(dict.fromkeys(paths))  # many items may share a picture
        outcomes: dict[Path | str, tuple[str | None, str]] = {}
        for start in range(0, len(once), QUEUED):
            batch = once[start : start + QUEUED]
            outcomes.update(zip(batch, threads.map(_check, batch), strict=True))
    return [outcomes[path] for path in paths]


def _check(path: Path | str) -> tuple[str | None, str]:
    if isinstance(path, str):
        return None, path
    try:
        content = read_picture_file(path)
        open_picture(content, CHECKED_SIDE)
    except UnreadablePicture as error:
        return None, str(error)
    return hashlib.sha256(content).hexdigest(), ""
