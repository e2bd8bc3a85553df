"""Interactions and items as CSV, TSV, JSON Lines or Parquet, with pictures beside them."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.readers.base import ReadOptions, unused_note
from neggen.data.readers.files import SUFFIXES, read_table
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from neggen.data.download import Downloads


class TablesReader:
    """A folder with ``interactions.*`` and optionally ``items.*``, or a file of interactions."""

    name = "tables"
    layout = f"interactions.* and items.* ({', '.join(SUFFIXES)})"
    heeds = frozenset(
        {
            "interactions",
            "items",
            "images",
            "user_column",
            "item_column",
            "image_column",
            "drop_unknown",
            "downloads",
        }
    )

    def recognizes(self, path: Path) -> bool:
        """Return whether ``path`` is a table or a folder with a table of interactions."""
        if path.is_file():
            return path.suffix in SUFFIXES
        tables = ("interactions", "items")
        return any((path / f"{name}{end}").is_file() for name in tables for end in SUFFIXES)

    def read(self, path: Path, options: ReadOptions) -> Dataset:
        """Read the tables and check the pictures.

        Raises:
            NegGenError: For a missing, ambiguous or damaged table; see ``Dataset.from_frames``.
        """
        log_path = options.interactions or (path if path.is_file() else _only(path, "interactions"))
        items_path = options.items or (_only(path, "items") if path.is_dir() else None)
        if log_path is None and items_path is None:
            raise NegGenError(f"{path} has no interactions.*; name it with --interactions.")
        log = None if log_path is None else read_table(log_path)
        items = None if items_path is None else read_table(items_path)
        images, notes = options.images, tuple[str, ...]()
        if options.downloads is not None:
            if items is None:
                raise NegGenError(
                    f"{path} has no items.* with the pictures to download; name it with --items."
                )
            items, notes = _downloaded(items, options.image_column, options.downloads)
            images = options.downloads.folder
        elif items is not None and items_path is not None and images is None:
            images = _image_dir(items, options.image_column, items_path.parent)
        items_name = "The items" if items_path is None else f"The items in {items_path}"
        data = Dataset.from_frames(
            log,
            items,
            images,
            user_column=options.user_column,
            item_column=options.item_column,
            image_column=options.image_column,
            drop_unknown=options.drop_unknown,
            names=(f"The interactions in {log_path}", items_name),
        )
        data = data.replace(notes=notes + data.notes)
        if path.is_file():
            return data
        used = {_entry(path, file) for file in (log_path, items_path) if file is not None}
        if data.image_dir is not None:
            for name in data.item_table["image"].drop_nulls():
                used.add(_entry(path, data.image_dir / name))
        return data.replace(notes=data.notes + unused_note(path, used))


def _only(folder: Path, stem: str) -> Path | None:
    """Return the one table called ``stem``, or None."""
    found = [path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise NegGenError(f"{folder} has {names}; keep one, or name it with --{stem}.")
    return found[0] if found else None


def _downloaded(
    items: pl.DataFrame, column: str, downloads: Downloads
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the items with the names of downloaded pictures and no other, and remarks."""
    from neggen.data.download import download_images

    table, notes = download_images(items, column, downloads)
    if table[column].equals(items[column]):
        raise NegGenError(
            f"Column '{column}' of the items holds no web address to download a picture from; "
            f"leave --download-images out to read paths."
        )
    paths = (table[column] == items[column]) & (items[column] != "")
    if count := paths.sum():
        notes += (
            f"Masked {count:,} pictures that are no web addresses: with --download-images, paths "
            f"are not read.",
        )
    none = pl.Series([None], dtype=pl.String)
    return table.with_columns(table[column].zip_with(~paths.fill_null(value=False), none)), notes


def _image_dir(items: pl.DataFrame, column: str, folder: Path) -> Path | None:
    """Return the folder of the items, or ``images`` in it if the pictures are only found there."""
    if column not in items.columns or items[column].dtype != pl.String:
        return None
    within = folder / "images"
    names = items[column].drop_nulls()
    if within.is_dir() and not any(
        os.path.isfile(folder / name)  # noqa: PTH113 (which raises for a very long name)
        for name in names
    ):
        return within
    return folder


def _entry(folder: Path, path: Path) -> str:
    """Return the entry of ``folder`` that ``path`` lies in, or an empty string."""
    if not path.is_relative_to(folder):
        return ""
    return PurePosixPath(path.relative_to(folder)).parts[0]
