"""The atomic files of RecBole: ``NAME.inter`` and ``NAME.item`` with typed headers."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.readers.base import ReadOptions, unused_note
from neggen.data.readers.files import read_delimited
from neggen.data.readers.joining import joined, rated
from neggen.errors import NegGenError

TYPES = ("token", "token_seq", "float", "float_seq")
LONGEST_HEADER = 2**16


class RecBoleReader:
    """Tab-separated tables whose columns are headed ``name:type``."""

    name = "recbole"
    layout = "NAME.inter and NAME.item (tab-separated user_id:token, item_id:token, …)"
    heeds = frozenset(
        {
            "items",
            "images",
            "user_column",
            "item_column",
            "image_column",
            "drop_unknown",
            "downloads",
            "min_rating",
            "all_items",
        }
    )

    def recognizes(self, path: Path) -> bool:
        """Return whether ``path`` is or has an ``.inter`` file with typed columns."""
        return bool(_inter_files(path))

    def read(self, path: Path, options: ReadOptions) -> Dataset:
        """Read the interactions and what is known of the items, texts and numbers.

        Raises:
            NegGenError: For a damaged table, a column without a type, or several files.
        """
        found = _inter_files(path)
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise NegGenError(f"{path} has several .inter files ({names}); name one of them.")
        (log_path,) = found
        beside = log_path.with_suffix(".item")
        items_path = options.items or (beside if beside.is_file() else None)
        ids, notes = (options.user_column, options.item_column), list[str]()
        log = rated(_read(log_path, ids, notes), options, log_path, notes)
        items = None if items_path is None else _read(items_path, ids, notes)
        data = joined(log, items, (log_path, items_path), options, notes)
        if path.is_file():
            return data
        pictures = [] if data.image_dir is None else data.item_table["image"].drop_nulls().to_list()
        used = [Path(name).parts[0] for name in pictures]
        used += [file.name for file in (log_path, items_path) if file is not None]
        return data.replace(notes=data.notes + unused_note(path, used))


def _inter_files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob("*.inter"))
    return [
        file for file in files if file.suffix == ".inter" and file.is_file() and _is_typed(file)
    ]


def _is_typed(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.readline(LONGEST_HEADER).decode("utf-8", "replace")
    return any(name.strip().rpartition(":")[2] in TYPES for name in header.split("\t"))


def _read(path: Path, ids: tuple[str, ...], notes: list[str]) -> pl.DataFrame:
    """Return a table with plain names: floats as numbers, everything else as text.

    Sequences of words stay as they are, words with spaces between; those of numbers are left out.
    """
    if not path.is_file():
        raise NegGenError(f"There is no file {path}.")
    table = read_delimited(path, "\t")
    columns: dict[str, pl.Series] = {}
    unused = []
    for header, values in zip(table.columns, table, strict=True):
        name, _, kind = header.rpartition(":")
        if kind not in TYPES or not name:
            raise NegGenError(
                f"Column '{header}' of {path} has no type; write name:type, with a type of "
                f"{', '.join(TYPES)}."
            )
        if name in columns:
            raise NegGenError(f"{path} has two columns named '{name}'; rename one.")
        if kind == "float_seq":
            unused.append(name)
        elif kind == "float" and name not in ids:
            columns[name] = _numbers(values, header, path)
        elif name in ids:
            columns[name] = values
        else:
            columns[name] = values.replace("", None)
    if unused:
        notes.append(f"Not used from {path}: {', '.join(unused)} (sequences of numbers).")
    return pl.DataFrame(columns)


def _numbers(texts: pl.Series, header: str, path: Path) -> pl.Series:
    texts = texts.replace("", None)
    whole = texts.cast(pl.Int64, strict=False)
    numbers = whole if whole.null_count() == texts.null_count() else None
    if numbers is None:
        numbers = texts.cast(pl.Float64, strict=False)
    wrong = numbers.is_null() & texts.is_not_null()
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise NegGenError(f"Row {row + 2} of {path} has {header} = {texts[row]!r}; give a number.")
    return numbers
