"""Tables from CSV, TSV, JSON Lines and Parquet files, strictly: a bad row is named, not skipped."""

from __future__ import annotations

import csv
import json
import sys
from codecs import BOM_UTF8
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from neggen.errors import NegGenError, first_line

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
BLOCK_BYTES = 64 * 2**20


def read_table(path: Path) -> pl.DataFrame:
    """Read a table by its suffix. Columns of CSV and TSV stay text, so that ids keep their zeros.

    Raises:
        NegGenError: If the file is missing, empty, of another kind, not UTF-8 (with the byte) or
            has a row that does not fit (with the row).
    """
    if not path.is_file():
        raise NegGenError(f"There is no file {path}.")
    if path.suffix not in SUFFIXES:
        raise NegGenError(
            f"{path} has the suffix '{path.suffix}'; tables are {', '.join(SUFFIXES)}."
        )
    if path.suffix == ".csv":
        return read_delimited(path, ",")
    if path.suffix == ".tsv":
        return read_delimited(path, "\t")
    if path.suffix == ".jsonl":
        return _read_jsonl(path)
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise NegGenError(f"{path} is not a Parquet file: {first_line(error)}.") from None


def read_delimited(path: Path, delimiter: str) -> pl.DataFrame:
    """Read delimited text with a header; every column is text.

    A column without a name, such as an index that pandas wrote, is left out.

    Raises:
        NegGenError: If the file is empty, not UTF-8, repeats a column or has a ragged row.
    """
    ragged: list[arrow_csv.InvalidRow] = []

    def note_ragged(row: arrow_csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    try:
        header = _header(path, delimiter)
        table = arrow_csv.read_csv(
            path,
            # One thread: only then does Arrow count the rows.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note_ragged
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in header}
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        if ragged:
            row = ragged[0]
            raise NegGenError(
                f"Row {row.number} of {path} (the header is row 1) has {row.actual_columns} "
                f"values for {row.expected_columns} columns: {row.text[:80]!r}; mend or quote it."
            ) from None
        _refuse_other_encodings(path)
        raise NegGenError(f"{path} cannot be read as delimited text: {error}.") from None
    frame = pl.DataFrame(table.drop_columns([""]) if "" in header else table)
    if frame.select(pl.any_horizontal(pl.all().str.contains("\n", literal=True)).any()).item():
        _refuse_open_quotes(path, delimiter)
    return frame


def _refuse_open_quotes(path: Path, delimiter: str) -> None:
    """Refuse a quote that swallows rows as one value, to the next quote or the end of the file."""
    longest = csv.field_size_limit(sys.maxsize)
    rows = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for rows, _ in enumerate(csv.reader(file, delimiter=delimiter, strict=True)):  # noqa: B007
                pass
    except csv.Error:
        raise NegGenError(
            f"{path} has a quote that is never closed, or closed within a value, in data row "
            f"{rows + 1:,}; close it, or double it if it is meant."
        ) from None
    finally:
        csv.field_size_limit(longest)


def _header(path: Path, delimiter: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter=delimiter), [])
    if not header:
        raise NegGenError(f"{path} is empty; it needs a header and rows.")
    for other, name in ((";", "';'"), ("\t", "tabs"), (",", "','")):
        if len(header) == 1 and other in header[0]:
            raise NegGenError(
                f"The columns of {path} seem to be separated by {name}; save it with commas as "
                f".csv, or with tabs as .tsv."
            )
    for name in header:
        if header.count(name) > 1:
            raise NegGenError(f"{path} has two columns named '{name}'; rename one.")
    return header


def _read_jsonl(path: Path) -> pl.DataFrame:
    if not path.stat().st_size:
        raise NegGenError(f"{path} is empty; it needs one JSON object a line.")
    with path.open("rb") as file:
        marked = file.read(len(BOM_UTF8)) == BOM_UTF8
    try:
        source = path.read_bytes().removeprefix(BOM_UTF8) if marked else path
        return pl.read_ndjson(source, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        _refuse_other_encodings(path)
        _refuse_bad_lines(path)
        raise NegGenError(
            f"{path} cannot be read as JSON lines with the same types in each: {first_line(error)}."
        ) from None


def _refuse_bad_lines(path: Path) -> None:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise NegGenError(
                    f"Line {number} of {path} is not JSON ({error}): {line[:80]!r}."
                ) from None
            if not isinstance(value, dict):
                raise NegGenError(f"Line {number} of {path} is not an object: {line[:80]!r}.")


def _refuse_other_encodings(path: Path) -> None:
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NegGenError(
            f"{path} is not UTF-8: byte {error.start:,} is 0x{content[error.start]:02x}; "
            f"convert the file, such as with: iconv -f LATIN1 -t UTF-8."
        ) from None


def only_table(folder: Path, stem: str) -> Path | None:
    """Return the one table called ``stem`` in a folder, or None.

    Raises:
        NegGenError: If there are several.
    """
    found = [path for suffix in SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise NegGenError(f"{folder} has {names}; keep one, or name it with --{stem}.")
    return found[0] if found else None
