"""Objects one by one from JSON lines, packed or not, Python literals and Parquet.

Files come from anywhere. Nothing is held but the line at hand, which has a limit.
"""

from __future__ import annotations

import ast
import gzip
import json
import warnings
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from neggen.errors import NegGenError, first_line

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet")
LINE_BYTES = 4 * 2**20
LITERAL_BYTES = 2**18
"""Limit for Python literals, whose syntax trees take several hundred times the memory."""
ROWS_AT_ONCE = 1024
LOOKED_AT = 1000
NAMED = 10
SHOWN = 60
"""Letters of a bad line that a message shows."""


def stem(path: Path) -> str | None:
    """Return the name of a file of records without its suffix, or None if it is no such file."""
    fitting = [suffix for suffix in SUFFIXES if path.name.endswith(suffix)]
    return path.name.removesuffix(fitting[0]) if fitting else None


def records(
    path: Path, fields: Container[str], others: set[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of each line or row, from 1, and what stands there.

    Args:
        path: a file with one of ``SUFFIXES``. Whether it is packed is told by its first bytes.
        fields: what to read of Parquet rows; JSON lines have all they hold.
        others: gets the names of other fields, of lines those of the first 1,000.

    Raises:
        NegGenError: If the file is missing or damaged, or a line is too long or no object.
    """
    if not path.is_file():
        raise NegGenError(f"There is no file {path}.")
    others = set() if others is None else others
    read = _rows if path.suffix == ".parquet" else _objects
    return read(path, fields, others)


def place(path: Path, number: int) -> str:
    """Return what messages call a record."""
    return f"{'Row' if path.suffix == '.parquet' else 'Line'} {number:,} of {path}"


def others_note(others: set[str], path: Path) -> list[str]:
    """Return a note on the fields that are not used, if there are any."""
    if not others:
        return []
    names = [
        "".join(letter if letter.isprintable() else "?" for letter in str(name)[:SHOWN])
        for name in sorted(others, key=str)
    ]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return [f"Not used from {path}: {', '.join(names[:NAMED])}{more}."]


def _rows(
    path: Path, fields: Container[str], others: set[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            known = [name for name in names if name in fields]
            others.update(name for name in names if name not in fields)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=known, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pa.ArrowException, OSError, ValueError) as error:
        raise NegGenError(
            f"{path} is no Parquet file, or is damaged: {first_line(error)}."
        ) from None


def _objects(
    path: Path, fields: Container[str], others: set[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            file = gzip.GzipFile(fileobj=raw) if packed else raw
            while line := file.readline(LINE_BYTES + 1):
                number += 1
                if line.isspace():
                    continue
                record = _object(line, place(path, number))
                if number <= LOOKED_AT:
                    others.update(name for name in record if name not in fields)
                yield number, record
    except (EOFError, OSError, zlib.error) as error:
        raise NegGenError(
            f"{path} is damaged after line {number:,} ({error}); get the file anew."
        ) from None


def _object(line: bytes, where: str) -> dict[str, Any]:
    if len(line) > LINE_BYTES:
        raise NegGenError(f"{where} is longer than {LINE_BYTES // 2**20} MiB; leave it out.")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NegGenError(f"{where} is not UTF-8 at byte {error.start:,}; convert it.") from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _literal(text, where)
    if not isinstance(value, dict):
        raise NegGenError(
            f"{where} is neither a JSON object nor a Python dictionary: {text[:SHOWN]!r}."
        )
    return value


def _literal(text: str, where: str) -> Any:
    """Return the value of a Python literal, as the metadata of 2014 are written, or None."""
    if not text.startswith("{"):
        return None
    if len(text) > LITERAL_BYTES:
        raise NegGenError(
            f"{where} is not JSON, and too long ({len(text):,} letters) to be read as a Python "
            f"literal; write it as JSON."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes that escape nothing
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
