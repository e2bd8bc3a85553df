"""The files that a data set is kept in: tables as Parquet, arrays as safetensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from neggen.data.mapped import mapped_arrays
from neggen.data.tables import FILE_NAME
from neggen.errors import NegGenError
from neggen.workspace import atomic_path


def write_arrays(folder: Path, name: str, arrays: dict[str, NDArray[Any]]) -> None:
    """Write named arrays as ``folder/NAME.safetensors``."""
    with atomic_path(folder / f"{file_name(name)}.safetensors") as temporary:
        save_file(arrays, temporary)


def read_arrays(folder: Path, *names: str) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """Yield the name of every file of a folder and its named arrays."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            arrays = mapped_arrays(path)
            yield path.stem, [arrays[name] for name in names]
        except (SafetensorError, KeyError) as error:
            raise NegGenError(
                f"{path} is damaged ({error}); import the source again with --overwrite."
            ) from None


def file_name(name: str) -> str:
    """Return a name that a file may have, or raise NegGenError."""
    if not FILE_NAME.fullmatch(name):
        raise NegGenError(f"{name!r} cannot be a file name; use letters, digits, '-', '_' and '.'.")
    return name


def write_parquet(table: pl.DataFrame, path: Path) -> None:
    """Write a table atomically."""
    with atomic_path(path) as temporary:
        table.write_parquet(temporary)


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a table, or some columns of it."""
    with readable(path):
        return pl.read_parquet(path, columns=columns)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise NegGenError if the table that is read inside of this is missing or damaged."""
    try:
        yield
    except FileNotFoundError:
        raise NegGenError(f"{path} is missing; import the source again with --overwrite.") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise NegGenError(f"{path} is not a Parquet file: {error}.") from None
