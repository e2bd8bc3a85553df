"""Readers of source formats, found by looking at the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neggen.data.dataset import Dataset
from neggen.data.readers.base import Reader, ReadOptions
from neggen.data.readers.mmrec import MMRecReader
from neggen.data.readers.tables import TablesReader
from neggen.errors import NegGenError

__all__ = ["READERS", "ReadOptions", "Reader", "find_reader", "read_source"]

READERS: tuple[Reader, ...] = (MMRecReader(), TablesReader())


def find_reader(path: Path) -> Reader:
    """Return the reader that recognizes ``path``.

    Raises:
        NegGenError: If there is no such file or folder, or no reader knows it.
    """
    if not path.exists():
        raise NegGenError(f"There is no file or folder {path}.")
    for reader in READERS:
        if reader.recognizes(path):
            return reader
    layouts = "; ".join(f"{reader.name}: {reader.layout}" for reader in READERS)
    raise NegGenError(f"{path} is in no format that can be read. Formats: {layouts}.")


def read_source(path: str | Path, **options: Any) -> Dataset:
    """Read a source in whatever format it is.

    Args:
        path: a file or folder.
        options: fields of :class:`ReadOptions`.

    Raises:
        NegGenError: If the format is not known, or for anything wrong in the files.
    """
    source, told = Path(path), ReadOptions(**options)
    # Somebody who names the table need not have a folder that is recognized.
    reader = TablesReader() if told.interactions is not None else find_reader(source)
    return reader.read(source, told)
