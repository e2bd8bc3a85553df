"""From the tables people have to the tables a data set is made of: ids, times and parts checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from neggen.errors import NegGenError, nearest

PARTS = ("train", "valid", "test")
FILE_NAME = re.compile(r"\w[\w.-]*")
"""What a test set, features or a graph can be called."""
TIME_COLUMNS = ("timestamp", "time", "position")
# What other tools call these columns: offered as a hint, never taken silently.
ALIASES = {
    "user_id": ("userid", "user", "uid", "reviewerid", "customerid", "userid:token"),
    "item_id": ("itemid", "item", "iid", "asin", "parentasin", "productid", "itemid:token"),
}
YEAR_FIRST = r"^\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}"
LARGEST_EXACT_FLOAT = 2**53


def as_polars(frame: Any, where: str) -> pl.DataFrame:
    """Return a polars, pandas or Arrow table as a polars frame.

    Raises:
        NegGenError: For anything else, or a column that mixes types.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pa.Table):
        return pl.DataFrame(frame)
    if type(frame).__module__.partition(".")[0] == "pandas" and hasattr(frame, "columns"):
        return _from_pandas(frame, where)
    raise NegGenError(
        f"{where} are a {type(frame).__name__}; pass a polars or pandas frame or an Arrow table."
    )


def _from_pandas(frame: Any, where: str) -> pl.DataFrame:
    columns: dict[str, pl.Series] = {}
    for name, values in frame.items():
        if str(name) in columns:
            raise NegGenError(f"{where} have two columns named '{name}'; rename one.")
        try:
            column: Any = pl.from_pandas(values)  # of a Series, a Series
            columns[str(name)] = column
        except (pa.ArrowException, pl.exceptions.PolarsError, TypeError) as error:
            raise NegGenError(
                f"Column '{name}' of {inside(where)} cannot be read ({error}); make its values "
                f"one type, such as with .astype(str)."
            ) from None
    return pl.DataFrame(columns)


def as_log(frame: Any | None, where: str, user_column: str, item_column: str) -> pl.DataFrame:
    """Return a table of interactions with clean ``user_id`` and ``item_id``; None has no rows.

    Raises:
        NegGenError: As :func:`as_polars` and :func:`take_column` do.
    """
    if frame is None:
        return pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String})
    log = take_column(as_polars(frame, where), where, user_column, "user_id")
    return take_column(log, where, item_column, "item_id")


def take_column(table: pl.DataFrame, where: str, column: str, name: str) -> pl.DataFrame:
    """Return ``table`` with the id column ``column`` cleaned and renamed to ``name``.

    Raises:
        NegGenError: If the table is empty or lacks the column, or an id is missing or no id.
    """
    if column not in table.columns:
        option = name.removesuffix("_id")
        raise NegGenError(
            f"{where} have no column '{column}', only {', '.join(table.columns) or 'none at all'}."
            f"{_hint(column, name, table.columns)} Rename it, or "
            f"pass {option}_column (--{option}-column)."
        )
    if table.is_empty():
        raise NegGenError(f"{where} have no rows; give at least one.")
    if column != name and name in table.columns:
        raise NegGenError(f"{where} have both '{column}' and '{name}'; leave one of them out.")
    ids = _clean_ids(table[column], where)
    return table.with_columns(ids.alias(column)).rename({column: name})


def _hint(column: str, name: str, present: Sequence[str]) -> str:
    for other in present:
        if other.lower().replace("_", "") in ALIASES[name]:
            return f" Did you mean '{other}'?"
    return nearest(column, present)


def _clean_ids(ids: pl.Series, where: str) -> pl.Series:
    """Return ids as non-empty strings: integers and integral floats lose nothing but their type."""
    if ids.dtype.is_float():
        _refuse(ids, ids.is_null() | ~ids.is_finite(), where, "give every row an id")
        _refuse(ids, ids != ids.floor(), where, "ids are text or whole numbers")
        _refuse(ids, ids.abs() > LARGEST_EXACT_FLOAT, where, "store ids this long as text")
        return ids.cast(pl.Int64).cast(pl.String)
    if not (ids.dtype.is_integer() or isinstance(ids.dtype, pl.String | pl.Categorical | pl.Enum)):
        _refuse(ids, ids.is_null(), where, "give every row an id")
        raise NegGenError(
            f"Column '{ids.name}' of {inside(where)} holds {ids.dtype}; ids are text or integers."
        )
    texts = ids.cast(pl.String)
    blank = texts.is_null() | (texts.str.strip_chars() == "")
    _refuse(ids, blank, where, "give every row an id")
    return texts


def _refuse(values: pl.Series, wrong: pl.Series, where: str, mend: str) -> None:
    """Raise for the first row of ``wrong``, counting data rows from 1."""
    row = wrong.fill_null(False).arg_max() if wrong.any() else None
    if row is not None:
        raise NegGenError(
            f"Data row {row + 1} of {inside(where)} has {values.name} = {values[row]!r}; {mend}."
        )


def inside(where: str) -> str:
    """Return the name of a table as it reads within a sentence."""
    return where[:1].lower() + where[1:] if where.startswith("The ") else where


def refuse_repeated_items(items: pl.DataFrame, where: str) -> None:
    """Check that an item has one row.

    Raises:
        NegGenError: Naming the first repeated item and its rows.
    """
    repeated = items["item_id"].is_duplicated()
    if repeated.any():
        name = items["item_id"].filter(repeated)[0]
        rows = (items["item_id"] == name).arg_true() + 1
        raise NegGenError(
            f"Item '{name}' stands in data rows {', '.join(map(str, rows))} of {inside(where)}; "
            f"keep one."
        )


def without_unknown_items(
    log: pl.DataFrame, items: pl.DataFrame, where: str, *, drop: bool, notes: list[str]
) -> pl.DataFrame:
    """Return the interactions whose item has a row, noting what was dropped.

    Raises:
        NegGenError: For an item without a row unless ``drop``, or if nothing is left.
    """
    known = log["item_id"].is_in(items["item_id"].implode())
    count = len(log) - int(known.sum())
    if not count:
        return log
    row = (~known).arg_max() or 0
    example = log["item_id"][row]
    if not drop:
        raise NegGenError(
            f"{count:,} interactions use items that have no row among the items, first '{example}' "
            f"in data row {row + 1} of {inside(where)}; add the items, or drop these interactions "
            f"with drop_unknown (--drop-unknown)."
        )
    if count == len(log):
        raise NegGenError(f"No item of {inside(where)} has a row among the items ('{example}').")
    notes.append(f"Dropped {count:,} interactions with items that have no row, first '{example}'.")
    return log.filter(known)


def without_repeats(log: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Return the interactions with the first row of each (user, item) pair.

    Args:
        log: with internal users and items, int32, as ``user_id`` and ``item_id``.
        notes: gets a sentence on how many were dropped.
    """
    # One number a pair: telling these apart takes a tenth of the memory of telling rows apart.
    items = pl.col("item_id").max().cast(pl.Int64) + 1
    pair = pl.col("user_id").cast(pl.Int64) * items + pl.col("item_id")
    first = log.select(pair.is_first_distinct()).to_series()
    dropped = len(log) - int(first.sum())
    if not dropped:
        return log
    notes.append(
        f"Dropped {dropped:,} repeated interactions, keeping the first of each user and item."
    )
    return log.filter(first)


def with_time(log: pl.DataFrame, where: str) -> pl.DataFrame:
    """Return ``log`` with its column of time, if it has one, as ``time``.

    Times become int64, float64 or dates in microseconds, so that equal data hash equally.

    Raises:
        NegGenError: If a time is missing or is neither a number nor an ISO 8601 date.
    """
    name = next((name for name in TIME_COLUMNS if name in log.columns), None)
    if name is None:
        return log
    values = log[name]
    if values.dtype == pl.String:
        values = _parse_times(values, where)
    if values.dtype.is_temporal() and not isinstance(values.dtype, pl.Time | pl.Duration):
        values = values.cast(pl.Datetime("us"))
    elif values.dtype.is_integer():
        values = values.cast(pl.Int64, strict=False)
    elif values.dtype.is_float():
        values = values.cast(pl.Float64).fill_nan(None)
    else:
        raise NegGenError(
            f"Column '{name}' of {inside(where)} holds {values.dtype}; give numbers or dates."
        )
    _refuse(log[name], values.is_null(), where, "give every row a time, or leave the column out")
    return log.drop(name).with_columns(values.alias("time"))


def _parse_times(texts: pl.Series, where: str) -> pl.Series:
    # Whether 01/02/2024 is in January or in February is nothing to be guessed.
    dates = pl.select(pl.when(texts.str.contains(YEAR_FIRST)).then(texts)).to_series()
    readings = (
        texts.cast(pl.Int64, strict=False),
        texts.cast(pl.Float64, strict=False),
        dates.str.to_datetime(time_unit="us", strict=False, time_zone="UTC").dt.replace_time_zone(
            None
        ),
    )
    best = min(readings, key=lambda reading: reading.null_count())
    _refuse(texts, best.is_null(), where, "write times as numbers or as ISO 8601 dates")
    return best


def with_parts(log: pl.DataFrame, where: str) -> pl.DataFrame:
    """Return ``log`` with its column ``part``, if it has one, as positions in ``PARTS``.

    Raises:
        NegGenError: For anything but train, valid and test.
    """
    if "part" not in log.columns:
        return log
    if log["part"].dtype == pl.Enum(PARTS) and not log["part"].has_nulls():
        return log.with_columns(pl.col("part").to_physical().cast(pl.UInt8))
    if log["part"].dtype.is_nested():
        raise NegGenError(
            f"Column 'part' of {inside(where)} holds {log['part'].dtype}; it may only hold "
            f"{', '.join(PARTS)}."
        )
    labels = log["part"].cast(pl.String)
    wrong = labels.is_null() | ~labels.is_in(PARTS)
    _refuse(labels, wrong, where, f"it may only be {', '.join(PARTS)}")
    codes = labels.replace_strict(PARTS, range(len(PARTS)), return_dtype=pl.UInt8)
    return log.with_columns(codes)


def unused_columns(log: pl.DataFrame, where: str) -> list[str]:
    """Return a note on the columns of the interactions that nothing reads, if there are any."""
    unused = [name for name in log.columns if name not in ("user_id", "item_id", "time", "part")]
    return [f"Not used from {inside(where)}: {', '.join(unused)}."] if unused else []
