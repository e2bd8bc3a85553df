"""What the items' table says about them: which columns are usable, and which make up the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any

import polars as pl
from polars import selectors
from polars.datatypes import DataType, DataTypeClass

from neggen.errors import NegGenError, nearest

AnyType = DataType | DataTypeClass
TITLES = ("title", "name")
LONGEST_TITLE = 90
OWN_COLUMNS = ("item_id", "image", "image_sha256")
"""What every table of items has besides its attributes."""
IDS = ("id", "asin", "parent_asin", "image", "image_sha256")
LINK = re.compile(r"(^|_)urls?(_|$)|url$|^im(age|g)?url")


def plain_attributes(items: pl.DataFrame, where: str, notes: list[str]) -> pl.DataFrame:
    """Return ``items`` with NaN as null and without columns of no text, which notes name."""
    for what, is_it in (("binary data", _is_binary), ("objects without keys", _is_empty)):
        names = [name for name, dtype in items.schema.items() if _holds(dtype, is_it)]
        if names:
            notes.append(f"Not used from {where}: {', '.join(names)} ({what}).")
        items = items.drop(names)
    return items.with_columns(selectors.float().fill_nan(None))


def _holds(dtype: AnyType, is_it: Callable[[AnyType], bool]) -> bool:
    if is_it(dtype):
        return True
    if isinstance(dtype, pl.Struct):
        return any(_holds(inner, is_it) for inner in dtype.to_schema().values())
    return isinstance(dtype, pl.List | pl.Array) and _holds(dtype.inner, is_it)


def _is_binary(dtype: AnyType) -> bool:
    return isinstance(dtype, pl.Binary | pl.Object)


def _is_empty(dtype: AnyType) -> bool:
    return isinstance(dtype, pl.Struct) and not dtype.fields


def text_columns_of(items: pl.DataFrame) -> tuple[str, ...]:
    """Return the columns that make up an item's text: all but ids, pictures and links."""
    return tuple(name for name in items.columns if not _is_reference(name.strip().lower()))


def _is_reference(name: str) -> bool:
    return not name or name in IDS or name.endswith(("_id", "itemid")) or bool(LINK.search(name))


def without_columns(items: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Return items without some columns of theirs.

    Raises:
        NegGenError: If they have no such column, or it is none that can be left out.
    """
    others = [name for name in items.columns if name not in OWN_COLUMNS]
    for name in names:
        if name not in others:
            raise NegGenError(
                f"The items have no column '{name}' to leave out, only "
                f"{', '.join(others) or 'their ids'}.{nearest(name, others)}"
            )
    return items.drop(*names)


def text_of(items: pl.DataFrame, columns: tuple[str, ...], index: int) -> str | None:
    """Return the attributes of one item as ``name: value`` lines, or None if it has none."""
    values = (items[column][index] for column in columns)
    return _lines(columns, (v.to_list() if isinstance(v, pl.Series) else v for v in values))


def texts_of(items: pl.DataFrame) -> Iterator[str | None]:
    """Yield the text of every item in turn."""
    columns = text_columns_of(items)
    rows = items.select(columns).iter_rows() if columns else repeat((), len(items))
    for row in rows:
        yield _lines(columns, row)


def _lines(columns: tuple[str, ...], values: Iterable[Any]) -> str | None:
    lines = []
    for column, value in zip(columns, values, strict=True):
        if isinstance(value, list):
            value = ", ".join(str(entry) for entry in value if entry is not None)
        if value is not None and str(value).strip():
            lines.append(f"{column}: {str(value).strip()}")
    return "\n".join(lines) or None


def title_of(items: pl.DataFrame, columns: tuple[str, ...], index: int) -> str | None:
    """Return one item's title or name, else its first text, cut to a line; None if it has none."""
    titles = [name for name in columns if name.lower() in TITLES]
    for column in [*titles, *columns]:
        value = items[column][index]
        if isinstance(value, str) and value.strip():
            words = " ".join(value.split())
            return words if len(words) <= LONGEST_TITLE else words[: LONGEST_TITLE - 1] + "…"
    return None
