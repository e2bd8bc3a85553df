"""Users, histories and items that options and files name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neggen.errors import NegGenError

if TYPE_CHECKING:
    import polars as pl


def names_in(listed: str) -> list[str]:
    """Return the names in a list with commas."""
    return [name for each in listed.split(",") if (name := each.strip())]


def read_people(
    users: Sequence[str] | None,
    users_file: Path | None,
    histories: Sequence[str] | None,
    history_file: Path | None,
) -> list[str] | dict[str, list[str]]:
    """Return users, or histories by name, whichever was given."""
    from neggen.data.readers.files import read_table
    from neggen.data.tables import as_log

    if (users or users_file) and (histories or history_file):
        raise NegGenError("Ask for users or for histories, one at a time.")
    if users or users_file:
        return [*(users or []), *(read_ids(users_file, "user_id") if users_file else [])]
    found: dict[str, list[str]] = {}
    for number, history in enumerate(histories or [], start=1):
        found[f"history {number}"] = names_in(history)
    if history_file:
        table = read_table(history_file)
        _require_columns(table, history_file, "user_id", "item_id")
        log = as_log(table, f"The histories in {history_file}", "user_id", "item_id")
        for user, item in log.select("user_id", "item_id").iter_rows():
            found.setdefault(user, []).append(item)
    if not found:
        raise NegGenError(
            "Nobody to recommend to: name users with --user or --users-file, or what somebody has "
            "used with --history or --history-file."
        )
    return found


def read_ids(path: Path, column: str) -> list[str]:
    """Return the ids of a table's column, or the lines of any other file."""
    from neggen.data.readers.files import SUFFIXES, read_table
    from neggen.data.tables import take_column

    if path.suffix in SUFFIXES:
        table = read_table(path)
        _require_columns(table, path, column)
        return take_column(table, f"The ids in {path}", column, column)[column].to_list()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NegGenError(f"{path} cannot be read as a list of ids ({error}).") from None
    return [name for line in lines if (name := line.strip())]


def _require_columns(table: pl.DataFrame, path: Path, *columns: str) -> None:
    for column in columns:
        if column not in table.columns:
            raise NegGenError(
                f"{path} has no column '{column}', only {', '.join(table.columns)}; rename one."
            )
