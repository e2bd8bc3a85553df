"""Interactions and items as CSV, TSV, JSON Lines or Parquet, with pictures beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.features import feature_paths, open_features
from neggen.data.indexing import moved, positions
from neggen.data.readers.base import ReadOptions, unused_note
from neggen.data.readers.files import SUFFIXES, only_table, read_table
from neggen.data.readers.joining import rated
from neggen.data.tables import FILE_NAME, PARTS, as_log
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from neggen.data.download import Downloads


class TablesReader:
    """A folder with ``interactions.*`` and optionally ``items.*``, or a file of interactions."""

    name = "tables"
    layout = f"interactions.* and items.* ({', '.join(SUFFIXES)}), *_feat.npy"
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
            "min_rating",
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

        Files such as ``image_feat.npy`` hold features, a row an item in the order of its table. A
        table ``users.*`` with the column of users gives the order in which they are counted, and
        tables of users and items in ``test_sets`` are further pairs to test on.

        Raises:
            NegGenError: For a missing, ambiguous or damaged table; see ``Dataset.from_frames``.
        """
        log_path = options.interactions or (
            path if path.is_file() else only_table(path, "interactions")
        )
        items_path = options.items or (only_table(path, "items") if path.is_dir() else None)
        if log_path is None and items_path is None:
            raise NegGenError(f"{path} has no interactions.*; name it with --interactions.")
        log = None if log_path is None else read_table(log_path)
        items = None if items_path is None else read_table(items_path)
        images, remarks = options.images, list[str]()
        if images is not None and items is not None and options.image_column not in items.columns:
            raise NegGenError(
                f"{items_path} has no column '{options.image_column}' that names the pictures of "
                f"{images}; name it with --image-column, or leave --images out."
            )
        if log is not None and log_path is not None:
            log = rated(_with_numbers(log, log_path, options), options, log_path, remarks)
        notes = tuple(remarks)
        if options.downloads is not None:
            if items is None:
                raise NegGenError(
                    f"{path} has no items.* with the pictures to download; name it with --items."
                )
            items, masked = _downloaded(items, options.image_column, options.downloads)
            notes += masked
            images = options.downloads.folder
        elif items is not None and items_path is not None and images is None:
            images = _image_dir(items, options.image_column, items_path.parent)
        features_at = feature_paths(path) if path.is_dir() and items is not None else {}
        items_name = "The items" if items_path is None else f"The items in {items_path}"
        data = Dataset.from_frames(
            log,
            items,
            images,
            user_column=options.user_column,
            item_column=options.item_column,
            image_column=options.image_column,
            features={modality: open_features(file) for modality, file in features_at.items()},
            drop_unknown=options.drop_unknown,
            names=(f"The interactions in {log_path}", items_name),
        )
        data = data.replace(notes=notes + data.notes)
        if path.is_file():
            return data
        users_path = only_table(path, "users")
        users = None if users_path is None else read_table(users_path)
        if users is not None and options.user_column in users.columns:
            data = _ordered(data, users[options.user_column].cast(pl.String))
        else:
            users_path = None
        sets = {file.stem: file for end in SUFFIXES for file in path.glob(f"test_sets/*{end}")}
        _refuse_names(sets)
        names = options.user_column, options.item_column
        pairs = {name: _pairs(data, sets[name], *names) for name in sorted(sets)}
        data = data.replace(test_sets=pairs)
        files = (log_path, items_path, users_path, *features_at.values(), *sets.values())
        used = {_entry(path, file) for file in files if file is not None}
        if data.image_dir is not None:
            for name in data.item_table["image"].drop_nulls():
                used.add(_entry(path, data.image_dir / name))
        return data.replace(notes=data.notes + unused_note(path, used))


def _refuse_names(sets: Mapping[str, Path]) -> None:
    for name, path in sets.items():
        if name in PARTS:
            raise NegGenError(
                f"{path} has the name of a part of every split ({', '.join(PARTS)}); call it "
                f"something else, such as new-season{path.suffix}."
            )
        if not FILE_NAME.fullmatch(name):
            raise NegGenError(
                f"{path} is to give a test set its name, which may have letters, digits, '-', '_' "
                f"and '.'; call it something else."
            )


def _with_numbers(log: pl.DataFrame, path: Path, options: ReadOptions) -> pl.DataFrame:
    """Return interactions whose ratings are numbers, if they are or were written as such."""
    if "rating" not in log.columns or log["rating"].dtype != pl.String:
        return log
    texts = log["rating"].replace("", None)
    numbers = texts.cast(pl.Float64, strict=False)
    wrong = numbers.is_null() & texts.is_not_null()
    if not wrong.any():
        return log.with_columns(rating=numbers)
    if options.min_rating is None:
        return log
    row = int(wrong.arg_max() or 0)
    raise NegGenError(
        f"Data row {row + 1} of {path} has rating = {texts[row]!r}; give a number, or leave "
        f"--min-rating out."
    )


def _ordered(data: Dataset, order: pl.Series) -> Dataset:
    """Return the data with users in this order, and those that it lacks after them."""
    place = positions(data.user_ids, order.unique(maintain_order=True))  # [users]
    sequence = np.argsort(np.where(place < 0, len(order), place), kind="stable")
    users = moved(sequence.astype(np.int32), len(sequence))[data.users]
    return data.replace(user_ids=data.user_ids[sequence], users=users)


def _pairs(data: Dataset, path: Path, user_column: str, item_column: str) -> NDArray[np.int32]:
    """Return the internal user and item of each row of a test set, int32 ``[pairs, 2]``."""
    table = as_log(read_table(path), f"The pairs in {path}", user_column, item_column)
    users, items = (
        positions(table[name], ids)
        for name, ids in (("user_id", data.user_ids), ("item_id", data.item_ids))
    )
    unknown = (users < 0) | (items < 0)
    if unknown.any():
        row = int(unknown.argmax())
        user, item = table.row(row)[:2]
        raise NegGenError(
            f"Data row {row + 1} of {path} tests user {user!r} on item {item!r}, and the "
            f"interactions and items do not have both; leave it out."
        )
    return np.stack([users, items], axis=1)


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
