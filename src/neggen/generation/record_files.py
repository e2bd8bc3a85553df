"""Records as a Parquet file: written as they are made, read with every row checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError, first_line, quoted
from neggen.generation.inputs import describable, side_hash
from neggen.generation.journal.reviews import read_reviews
from neggen.generation.records import (
    MODALITIES,
    SCHEMA,
    Modality,
    Record,
    check_records,
    records_frame,
)
from neggen.generation.reviews import KEY, changing, known_reviews, put_in_reviews, standing
from neggen.generation.stock import stock_replacements
from neggen.workspace import atomic_path

ROWS_TOGETHER = 4096
"""Records held before they are written."""


class RecordWriter:
    """Writes records in the order they come, a few thousand at a time."""

    def __init__(self, path: Path, generator: str, data: Dataset) -> None:
        """Begin a file; ``generator`` names who wrote the records of the items of ``data``."""
        schema = pl.DataFrame(schema=SCHEMA).to_arrow().schema
        self._path = path
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._generator = generator
        self._data = data
        self._sides: set[Modality] = set()
        self._held: list[Record] = []

    def add(self, records: list[Record]) -> None:
        """Write records, or hold them until there are enough."""
        self._held += records
        self._sides.update(record.modality for record in records)
        if len(self._held) >= ROWS_TOGETHER:
            self._flush()

    def close(self) -> None:
        """Write what is held and what it describes, and end the file."""
        if self._writer.is_open:
            self._flush()
            self._writer.add_key_value_metadata(
                {_note(name): side_hash(self._data, name) for name in sorted(self._sides)}
            )
            self._writer.close()

    def stock(self) -> frozenset[tuple[str, str]]:
        """Return (modality, replacement) of what was given for far too many items."""
        self.close()
        return stock_replacements(pl.scan_parquet(self._path))

    def _flush(self) -> None:
        self._writer.write_table(records_frame(self._held, self._generator).to_arrow())
        self._held = []


@contextmanager
def written(path: Path, generator: str, data: Dataset, journal: Path) -> Iterator[RecordWriter]:
    """Yield a writer of records that replace those of the same modalities when all went well.

    Records of other modalities stay, unless no item has that side any more. Without any new record
    the file stays as it is: a run that failed throughout should not cost the records of a good one.
    What people decided about records goes over what a generator writes.

    Args:
        path: the file to replace.
        generator: who writes the records.
        data: the catalogue.
        journal: the path of the journal, which holds the reviews.

    Raises:
        NegGenError: Before anything is yielded, if the file there is damaged; if it cannot be
            written.
    """
    if path.is_file():  # what could not be kept should be known before anything is asked
        current_records(path, journal, data)
    try:
        with ExitStack() as locked, atomic_path(path) as temporary:
            writer = RecordWriter(temporary, generator, data)
            yield writer
            writer.close()
            locked.enter_context(changing(path))
            if path.is_file():
                _keep_others(path, temporary, data)
            if reviews := read_reviews(journal):
                put_in_reviews(temporary, reviews, data, fresh=True)
    except (OSError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise NegGenError(
            f"{path} cannot be written ({error}); make room or mend its permissions and run the "
            "same command again: all answers are kept."
        ) from None


def _keep_others(path: Path, temporary: Path, data: Dataset) -> None:
    new = pl.scan_parquet(temporary)
    modalities = new.select(pl.col("modality").unique()).collect()["modality"].to_list()
    if not modalities:
        shutil.copyfile(path, temporary)
        return
    kept = [name for name in MODALITIES if name not in modalities and describable(data, name)]
    if not kept:
        return
    others = read_records(path).filter(pl.col("modality").is_in(kept))
    if others.is_empty():
        return
    order = data.item_ids.alias("item_id").to_frame().with_row_index("place")
    both = pl.concat([others, new.collect()]).join(order, on="item_id", how="left")
    both = both.sort("place", "modality", "completion").drop("place")
    notes = {**_notes(path, kept), **_notes(temporary, modalities)}
    pq.write_table(both.to_arrow().replace_schema_metadata(notes), temporary, compression="zstd")


def count_records(path: Path) -> dict[tuple[str, str], int]:
    """Return how many records there are by modality and generator, without checking each.

    Raises:
        NegGenError: If the file is missing or damaged.
    """
    sides = ("modality", "generator")
    try:
        counts = pl.scan_parquet(path).group_by(sides).len().collect()
    except (pl.exceptions.PolarsError, OSError):
        counts = read_records(path).group_by(sides).len()  # which says what is wrong
    return {(modality, generator): count for modality, generator, count in counts.iter_rows()}


def count_decided(path: Path, journal: Path, data: Dataset) -> dict[tuple[str, str], int]:
    """Count, by modality and generator, the records that stay whatever a generator writes.

    Raises:
        NegGenError: If the file is missing or damaged, or the journal cannot be read.
    """
    decided = standing(read_reviews(journal), data)
    keys = [key for key, review in decided.items() if review.after.verdict is not None]
    frame = pl.DataFrame(keys, schema={name: SCHEMA[name] for name in KEY}, orient="row")
    counts = read_records(path).join(frame, on=KEY).group_by("modality", "generator").len()
    return {(modality, generator): count for modality, generator, count in counts.iter_rows()}


def read_records(path: Path) -> pl.DataFrame:
    """Read records and check every one.

    Raises:
        NegGenError: If the file is missing, damaged, or holds an invalid record.
    """
    if not path.is_file():
        raise NegGenError(
            f"{path} does not exist; make it with: neggen generate {quoted(path.parent)}"
        )
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise NegGenError(
            f"{path} is not a readable Parquet file ({error}); delete it and give the same neggen "
            "generate command again, which makes it anew from the journal."
        ) from None
    check_records(frame, str(path))
    try:
        return frame.select(SCHEMA.names()).cast(SCHEMA)  # whoever edited it may have added
    except pl.exceptions.PolarsError as error:
        raise NegGenError(
            f"{path} has a column of another type than it should have ({first_line(error)}); mend "
            "it, or delete the file and give the same neggen generate command again."
        ) from None


def current_records(path: Path, journal: Path, data: Dataset) -> pl.DataFrame:
    """Read records as people decided about them, and check every one.

    A review that is in the journal but not in the file yet, because the process that kept it died
    in between, is put into the file first.

    Args:
        path: the file of records.
        journal: the path of the journal.
        data: the catalogue as it is now.

    Raises:
        NegGenError: If the file is missing, damaged, or holds an invalid record, if the journal
            cannot be read, or if the file has to be changed and cannot be.
    """
    records = read_records(path)
    reviews = read_reviews(journal)
    if not reviews or reviews[-1].number <= known_reviews(path):
        return records
    try:
        with changing(path), atomic_path(path) as temporary:
            shutil.copyfile(path, temporary)
            put_in_reviews(temporary, reviews, data, fresh=False)
    except OSError as error:
        raise NegGenError(
            f"{path} cannot be changed ({error.strerror}), though the journal holds reviews that "
            "it lacks; make room or mend its permissions and try again: they are kept."
        ) from None
    return read_records(path)


def earlier_import(path: Path, data: Dataset) -> str | None:
    """Return a sentence if records were made from other texts or pictures than those of ``data``.

    Records that do not tell what they were made from are taken as they are.

    Args:
        path: a file that :func:`read_records` can read, or none.
        data: the catalogue as it is now.
    """
    if not path.is_file():
        return None
    notes = _notes(path, MODALITIES)
    old = [
        name
        for name in MODALITIES
        if _note(name) in notes and notes[_note(name)] != side_hash(data, name)
    ]
    if not old:
        return None
    return (
        f"The {' and '.join(old)} records of {path.parent} describe an earlier import of its "
        "catalogue; run neggen generate again as before: only what changed is asked."
    )


def _note(modality: str) -> str:
    """Return the key of the metadata under which a file says what this side of it describes."""
    return f"neggen.described.{modality}"


def _notes(path: Path, modalities: Iterable[str]) -> dict[str, str]:
    """Return what a file says of what it describes, as far as it says so."""
    metadata = pq.read_metadata(path).metadata or {}
    keys = [_note(name) for name in modalities]
    return {
        key: metadata[key.encode()].decode("utf-8", "replace")
        for key in keys
        if key.encode() in metadata
    }
