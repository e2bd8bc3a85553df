"""Records as a Parquet file: written as they are made, read with every row checked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from neggen.errors import NegGenError
from neggen.generation.records import SCHEMA, Record, check_records, records_frame
from neggen.generation.stock import stock_replacements
from neggen.workspace import atomic_path

ROWS_TOGETHER = 4096
"""Records held before they are written."""


class RecordWriter:
    """Writes records in the order they come, a few thousand at a time."""

    def __init__(self, path: Path, generator: str) -> None:
        """Begin a file; ``generator`` names who wrote the records."""
        schema = pl.DataFrame(schema=SCHEMA).to_arrow().schema
        self._path = path
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._generator = generator
        self._held: list[Record] = []

    def add(self, records: list[Record]) -> None:
        """Write records, or hold them until there are enough."""
        self._held += records
        if len(self._held) >= ROWS_TOGETHER:
            self._flush()

    def close(self) -> None:
        """Write what is held and end the file."""
        if self._writer.is_open:
            self._flush()
            self._writer.close()

    def stock(self) -> frozenset[tuple[str, str]]:
        """Return (modality, replacement) of what was given for far too many items."""
        self.close()
        return stock_replacements(pl.scan_parquet(self._path))

    def _flush(self) -> None:
        self._writer.write_table(records_frame(self._held, self._generator).to_arrow())
        self._held = []


@contextmanager
def written(path: Path, generator: str, item_ids: pl.Series) -> Iterator[RecordWriter]:
    """Yield a writer of records that replace those of the same modalities when all went well.

    Records of other modalities stay. Without any new record the file stays as it is: a run that
    failed throughout should not cost the records of a good one.

    Raises:
        NegGenError: If the file cannot be written.
    """
    try:
        with atomic_path(path) as temporary:
            writer = RecordWriter(temporary, generator)
            yield writer
            writer.close()
            new = pl.scan_parquet(temporary)
            if path.is_file():
                _keep_others(path, temporary, new, item_ids)
    except (OSError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise NegGenError(
            f"{path} cannot be written ({error}); make room or mend its permissions and run the "
            "same command again: all answers are kept."
        ) from None


def _keep_others(path: Path, temporary: Path, new: pl.LazyFrame, item_ids: pl.Series) -> None:
    modalities = new.select(pl.col("modality").unique()).collect()["modality"]
    if modalities.is_empty():
        shutil.copyfile(path, temporary)
        return
    others = read_records(path).filter(~pl.col("modality").is_in(modalities.implode()))
    if others.is_empty():
        return
    order = item_ids.alias("item_id").to_frame().with_row_index("place")
    both = pl.concat([others, new.collect()]).join(order, on="item_id", how="left")
    both.sort("place", "modality", "completion").drop("place").write_parquet(temporary)


def read_records(path: Path) -> pl.DataFrame:
    """Read records and check every one.

    Raises:
        NegGenError: If the file is missing, unreadable, or holds an invalid record.
    """
    if not path.is_file():
        raise NegGenError(f"{path} does not exist; make it with: neggen generate {path.parent}")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise NegGenError(f"{path} is not a readable Parquet file: {error}.") from None
    check_records(frame, str(path))
    return frame
