"""Readers of source formats, found by looking at the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neggen.data.attributes import without_columns
from neggen.data.dataset import Dataset
from neggen.data.readers.base import Reader, ReadOptions
from neggen.errors import NegGenError
from neggen.registry import Registry

__all__ = ["READERS", "ReadOptions", "Reader", "find_reader", "read_source"]

READERS: Registry[Reader] = Registry(
    "reader",
    "neggen.readers",
    {
        "recbole": "neggen.data.readers.recbole:RecBoleReader",
        "mmrec": "neggen.data.readers.mmrec:MMRecReader",
        "movielens": "neggen.data.readers.movielens:MovieLensReader",
        "matrix": "neggen.data.readers.matrix:MatrixReader",
        "amazon": "neggen.data.readers.amazon:AmazonReader",
        "tables": "neggen.data.readers.tables:TablesReader",
    },
)
"""The readers by name, asked in this order, after those that others add."""
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
    readers, broken = _readers()
    if named:
        own = (reader for reader in readers if reader.name in READERS.built_in)
        recognized = [reader for reader in own if "interactions" in reader.heeds]
    else:
        recognized = [reader for reader in readers if reader.recognizes(path)]
    if not recognized:
        layouts = "; ".join(f"{reader.name}: {reader.layout}" for reader in readers)
        raise NegGenError(
            f"{path} is in no format that can be read. Formats: {layouts}.{''.join(broken)}"
        )
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


def _readers() -> tuple[list[Reader], list[str]]:
    """Return all readers, and a sentence for each that another package offers and is broken."""
    readers, broken = [], []
    for name in READERS:
        try:
            readers.append(READERS.find(name)())
        except NegGenError as error:
            broken.append(f" {error}")
    return readers, broken


def read_source(path: str | Path, *, leave_out: Sequence[str] = (), **options: Any) -> Dataset:
    """Read a source in whatever format it is.

    Args:
        path: a file or folder.
        leave_out: names of columns of the items that are not taken: nobody is shown them or asked
            about them.
        options: fields of :class:`ReadOptions`.

    Raises:
        NegGenError: If the format is not known, for anything wrong in the files, or if there is no
            such column to leave out.
    """
    source, told = Path(path), ReadOptions(**options)
    data = find_reader(source, told).read(source, told)
    if not leave_out:
        return data
    note = f"Left out of the items, as asked: {', '.join(leave_out)}."
    return data.replace(
        item_table=without_columns(data.item_table, leave_out), notes=(*data.notes, note)
    )
