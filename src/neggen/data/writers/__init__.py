"""Writers of the formats that :mod:`neggen.data.readers` reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

from neggen.data.dataset import Dataset
from neggen.data.readers import read_source
from neggen.data.writers.amazon import AMAZON
from neggen.data.writers.base import Writer, not_carried
from neggen.data.writers.matrix import MATRIX
from neggen.data.writers.mmrec import MMREC
from neggen.data.writers.movielens import MOVIELENS
from neggen.data.writers.recbole import RECBOLE
from neggen.data.writers.tables import CSV, JSONL, PARQUET
from neggen.errors import NegGenError, nearest

__all__ = ["WRITERS", "Writer", "same_when_read", "write_data"]

WRITERS = {
    writer.name: writer
    for writer in (CSV, PARQUET, JSONL, MMREC, RECBOLE, AMAZON, MOVIELENS, MATRIX)
}


def write_data(data: Dataset, folder: str | Path, format: str) -> list[str]:
    """Write what was imported in a format that other programs, and ``read_source``, read.

    Args:
        data: the data set; what was generated, encoded and trained is not part of it.
        folder: a new or empty folder. It appears when everything is written.
        format: a key of ``WRITERS``.

    Returns:
        Sentences on what the format has no place for and on what is read back otherwise.

    Raises:
        NegGenError: If there is no such format, the folder is not empty, or the format cannot hold
            these data.
    """
    folder = Path(folder)
    if format not in WRITERS:
        raise NegGenError(
            f"There is no format '{format}'; there are {', '.join(WRITERS)}."
            f"{nearest(format, WRITERS)}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NegGenError(f"{folder} exists and is not empty; choose a new folder.")
    writer = WRITERS[format]
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".exporting-") as temporary:
        place = Path(temporary) / "data"
        place.mkdir()
        notes = not_carried(data, writer) + writer.write(data, place, folder.absolute().name)
        place.rename(folder)
    return notes


def same_when_read(data: Dataset, folder: str | Path) -> bool:
    """Return whether importing a folder that :func:`write_data` wrote gives the same content."""
    return read_source(folder).content_hash == data.content_hash
