"""A sparse matrix of users and items: ``interactions.npz`` of SciPy, with names beside it."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import load_npz

from neggen.data.dataset import Dataset
from neggen.data.readers.base import ReadOptions, unused_note
from neggen.data.readers.files import SUFFIXES, only_table, read_table
from neggen.data.readers.joining import joined, rated
from neggen.errors import NegGenError

MATRIX = "interactions.npz"
FORMATS = ("csr", "csc", "coo")
PACKED_BEST = 100
"""How many times larger a file may get unpacked; indices shrink by less than ten."""
ALWAYS_UNPACKED = 64 * 2**20
MOST_NAMELESS = 10_000_000
"""Rows or columns that a matrix may have without names of them."""


class MatrixReader:
    """A matrix ``[users, items]`` whose entries other than zero are interactions."""

    name = "matrix"
    layout = f"{MATRIX} (scipy.sparse.save_npz), users.txt, items.txt or items.*"
    heeds = frozenset(
        {
            "items",
            "images",
            "item_column",
            "image_column",
            "drop_unknown",
            "downloads",
            "min_rating",
        }
    )

    def recognizes(self, path: Path) -> bool:
        """Return whether ``path`` is a folder with ``interactions.npz`` and no other such table."""
        if not (path / MATRIX).is_file():
            return False
        return not any((path / f"interactions{end}").is_file() for end in SUFFIXES)

    def read(self, path: Path, options: ReadOptions) -> Dataset:
        """Read the matrix; rows and columns without names are called by their numbers from 0.

        ``users.txt`` and ``items.txt`` hold one id a line. A table of items is joined by
        their ids; without ``items.txt`` its rows are the columns of the matrix in order.

        Raises:
            NegGenError: For anything but plain arrays that make up a matrix, or names that do
                not fit it.
        """
        matrix_path, ids_path = path / MATRIX, path / "items.txt"
        matrix = _load(matrix_path)
        items_path = options.items or only_table(path, "items")
        items = None if items_path is None else _with_text_ids(items_path, options.item_column)
        users, columns = matrix.shape
        user_ids = _names(path / "users.txt", users, "rows")
        if items is None or ids_path.is_file():
            item_ids = _names(ids_path, columns, "columns")
        else:
            item_ids = items[options.item_column]
            _refuse_unlike(item_ids, columns, "columns", f"{items_path} (without items.txt)")
        log = pl.DataFrame(
            {
                "user_id": user_ids[matrix.row],
                options.item_column: item_ids[matrix.col],
                "rating": matrix.data.astype(np.float64),
            }
        )
        notes: list[str] = []
        log = rated(log, options, matrix_path, notes)
        if idle := users - log["user_id"].n_unique():
            notes.append(f"Left out {idle:,} of {users:,} users without an interaction.")
        if items is None:
            items = item_ids.to_frame(options.item_column)
        paths = matrix_path, items_path or matrix_path
        data = joined(log, items, paths, replace(options, all_items=True), notes)
        used = [MATRIX, "users.txt", "items.txt", *(file.name for file in paths)]
        if data.image_dir is not None:
            used += [Path(name).parts[0] for name in data.item_table["image"].drop_nulls()]
        return data.replace(notes=data.notes + unused_note(path, used))


def _with_text_ids(path: Path, column: str) -> pl.DataFrame:
    table = read_table(path)
    if column not in table.columns:
        raise NegGenError(
            f"{path} has no column '{column}', only {', '.join(table.columns)}; name the one with "
            f"the items' ids with --item-column."
        )
    if not (table[column].dtype.is_integer() or table[column].dtype == pl.String):
        raise NegGenError(f"{path} has ids of type {table[column].dtype}; store them as text.")
    return table.with_columns(pl.col(column).cast(pl.String))


def _names(path: Path, count: int, what: str) -> pl.Series:
    """Return the ids in a file, one a line, or numbers if there is no such file."""
    if not path.is_file():
        if count > MOST_NAMELESS:
            raise NegGenError(
                f"{path.parent / MATRIX} has {count:,} {what}, too many without names; list them "
                f"in {path.name}."
            )
        return pl.Series(np.arange(count)).cast(pl.String)
    try:
        names = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise NegGenError(f"{path} is not UTF-8 at byte {error.start:,}; convert it.") from None
    ids = pl.Series([name.strip() for name in names], dtype=pl.String)
    _refuse_unlike(ids, count, what, str(path))
    return ids


def _refuse_unlike(ids: pl.Series, count: int, what: str, where: str) -> None:
    if len(ids) != count:
        raise NegGenError(
            f"{where} names {len(ids):,} for {count:,} {what} of {MATRIX}; give each one a name, "
            f"in their order."
        )
    if (repeated := ids.is_duplicated()).any():
        raise NegGenError(
            f"{where} names {ids.filter(repeated)[0]!r} more than once; keep one of them."
        )


def _load(path: Path) -> Any:
    """Return the matrix in COO format, ``[users, items]``, with nothing in it that is zero."""
    allowed = PACKED_BEST * path.stat().st_size + ALWAYS_UNPACKED
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(file.file_size for file in archive.infolist()) > allowed:
                raise NegGenError(
                    f"{path} would take more than {PACKED_BEST} times its size unpacked; save it "
                    f"anew with scipy.sparse.save_npz(..., compressed=False)."
                )
        matrix = load_npz(path)  # without pickles
        if matrix.format not in FORMATS or matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
            raise NegGenError(
                f"{path} holds a {matrix.format} of {matrix.ndim} dimensions and {matrix.dtype}; "
                f"save a {', '.join(FORMATS)} matrix of numbers, users by items."
            )
        if matrix.format != "coo":
            # What is read may point anywhere, and only this looks at every index.
            matrix.check_format(full_check=True)
        matrix.sum_duplicates()
        matrix = matrix.tocoo()
        matrix.eliminate_zeros()
    except KeyError as error:
        raise NegGenError(f"{path} lacks an array ({error}); save it with save_npz.") from None
    except (
        ValueError,
        TypeError,
        IndexError,
        OSError,
        EOFError,
        MemoryError,
        OverflowError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise NegGenError(f"{path} is no matrix of scipy.sparse.save_npz: {error}.") from None
    if matrix.dtype.kind == "f" and not np.isfinite(matrix.data).all():
        raise NegGenError(f"{path} has an entry that is not a finite number; leave it out.")
    if not matrix.nnz:
        raise NegGenError(f"{path} has no entry other than zero; give at least one interaction.")
    return matrix
