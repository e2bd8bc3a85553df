"""Pictures: found inside their folder, decoded once, and masked where that fails."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath

import polars as pl
from PIL import Image, UnidentifiedImageError

from neggen.errors import NegGenError

# Decoders of obscure formats are an attack surface (EPS starts another program).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64 * 10**6
NAMED_IN_NOTE = 3


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
        outcomes = _decode_all(paths)
    masked = [
        f"{name[:80]} ({reason})"
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


def _resolve(ids: pl.Series, names: list[str | None], folder: Path) -> list[Path | None]:
    """Return the real path of each picture, all inside ``folder``."""
    if not folder.is_dir():
        raise NegGenError(f"The picture folder {folder} does not exist.")
    root = folder.resolve()
    paths: list[Path | None] = []
    for item, name in zip(ids, names, strict=True):
        if name is None:
            paths.append(None)
            continue
        path = _inside(name, root)
        if path is None:
            raise NegGenError(
                f"The picture {name!r} of item '{item}' lies outside {folder}; "
                f"give a path relative to the picture folder."
            )
        paths.append(path)
    return paths


def _inside(name: str, root: Path) -> Path | None:
    windows = PureWindowsPath(name)  # splits at both kinds of slash
    if "\0" in name or windows.anchor or PurePosixPath(name).is_absolute() or ".." in windows.parts:
        return None
    path = Path(os.path.realpath(root / name))  # follows links, which may lead outside
    return path if path.is_relative_to(root) else None


def _decode_all(paths: list[Path | None]) -> list[tuple[str | None, str]]:
    """Return the digest of each picture, or None and the reason why there is none."""
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        # The limit on pixels is checked below, for every picture.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return list(threads.map(_decode, paths))


def _decode(path: Path | None) -> tuple[str | None, str]:
    if path is None:
        return None, "none"
    try:
        if not path.is_file():
            return None, "no such file"
        if path.stat().st_size > MAX_BYTES:
            return None, f"over {MAX_BYTES // 2**20} MiB"
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return None, f"over {MAX_PIXELS // 10**6} megapixels"
            picture.load()
    except Exception as error:
        # Damaged files make the decoders raise nearly anything; all of it means "unreadable".
        return None, type(error).__name__ if not str(error) else _first_words(error)
    return hashlib.sha256(content).hexdigest(), ""


def _first_words(error: Exception) -> str:
    return "not a picture" if isinstance(error, UnidentifiedImageError) else str(error)[:60]
