"""Readers of source formats, found by looking at the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neggen.data.dataset import Dataset
from neggen.data.readers.amazon import AmazonReader
from neggen.data.readers.base import Reader, ReadOptions
from neggen.data.readers.matrix import MatrixReader
from neggen.data.readers.mmrec import MMRecReader
from neggen.data.readers.movielens import MovieLensReader
from neggen.data.readers.recbole import RecBoleReader
from neggen.data.readers.tables import TablesReader
from neggen.errors import NegGenError

__all__ = ["READERS", "ReadOptions", "Reader", "find_reader", "read_source"]

READERS: tuple[Reader, ...] = (
    RecBoleReader(),
    MMRecReader(),
    MovieLensReader(),
    MatrixReader(),
    AmazonReader(),
    TablesReader(),
)
OPTIONS = {"downloads": "--download-images"}
"""What the command line calls options that have another name there."""


def find_reader(path: Path, options: ReadOptions | None = None) -> Reader:
    """Return the first reader that recognizes ``path``; what was told must apply to its format.

    Raises:
        NegGenError: If there is no such file or folder, no reader knows it, or what was told does
            not apply to its format.
    """
    told = ReadOptions() if options is None else options
    # Somebody who names the table need not have a folder that is recognized.
    named = told.interactions is not None
    if not named and not path.exists():
        raise NegGenError(f"There is no file or folder {path}.")
    recognized = [
        reader
        for reader in READERS
        if ("interactions" in reader.heeds if named else reader.recognizes(path))
    ]
    if not recognized:
        layouts = "; ".join(f"{reader.name}: {reader.layout}" for reader in READERS)
        raise NegGenError(f"{path} is in no format that can be read. Formats: {layouts}.")
    # One file is also a table to somebody who names its columns; a folder is what it looks like.
    for reader in recognized if path.is_file() else recognized[:1]:
        if told.given() <= reader.heeds:
            return reader
    unfit = sorted(told.given() - recognized[0].heeds)
    flags = ", ".join(OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in unfit)
    raise NegGenError(
        f"{path} is read as {recognized[0].name} ({recognized[0].layout}), which these options do "
        f"not apply to: {flags}; leave them out, or give interactions.* and items.* instead."
    )


def read_source(path: str | Path, **options: Any) -> Dataset:
    """Read a source in whatever format it is.

    Args:
        path: a file or folder.
        options: fields of :class:`ReadOptions`.

    Raises:
        NegGenError: If the format is not known, or for anything wrong in the files.
    """
    source, told = Path(path), ReadOptions(**options)
    return find_reader(source, told).read(source, told)
