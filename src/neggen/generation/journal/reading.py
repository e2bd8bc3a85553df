"""A journal that is only read: whole or damaged, also while others write it or nobody may."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from neggen.errors import NegGenError, quoted
from neggen.generation.journal.file import BUSY_SECONDS, FORMAT, shard_folder
from neggen.generation.journal.lines import AnswerLine, check, problem

SHORTEST_ROW = 128
"""Bytes that a row takes at least: its keys alone are longer."""
BAD_ROW = (sqlite3.Error, TypeError, ValueError)

Row = dict[str, Any]

ANSWER_COLUMNS = """
key, unit, item_id, modality, step, completion, attempt, generator, answer, prompt_tokens,
completion_tokens, cost, rejected_kind, rejected_reason, at
"""


class JournalReader:
    """A journal as it is at one moment, also while another process writes it.

    Use it as a context manager. Rows are dictionaries by column; their texts are untrusted.

    Attributes:
        damage: why :meth:`readable` could not read all, or None if it could.
        warning: what is not to be seen here, or None.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal; what it holds is not changed.

        Raises:
            NegGenError: If there is none, or it is of another format or unreadable.
        """
        self.path = path
        self.damage: str | None = None
        self.warning: str | None = None
        if not path.is_file():
            raise NegGenError(
                f"{path} does not exist: nothing was asked yet; begin with: "
                f"neggen generate {quoted(path.parent)}"
            )
        try:
            self._connection, version, tables = self._open()
        except sqlite3.Error as error:
            raise NegGenError(
                f"The journal {path} cannot be opened ({error}); check that it may be read and is "
                f"a neggen journal; if it is damaged, try to mend a copy with: {_mending(path)}"
            ) from error
        if version != FORMAT and (version != 0 or tables):
            self._connection.close()
            raise NegGenError(
                f"{path} is no journal of format {FORMAT}, which this version reads (its format "
                f"is {version}); read it with the version that wrote it."
            )
        self._empty = version == 0
        waiting = len(list(shard_folder(path).glob("*.sqlite")))
        if waiting and self.warning is None:
            self.warning = (
                f"{waiting} files in {shard_folder(path)} hold further answers, which the next "
                "neggen generate takes over."
            )

    def answers(self) -> Iterator[Row]:
        """Yield every answer, oldest first; of a damaged file every one that can be read."""
        return self.readable("answers", ANSWER_COLUMNS, _plain)

    def readable(
        self, table: str, columns: str, plain: Callable[[Row], Row], where: str = "true"
    ) -> Iterator[Row]:
        """Yield the rows of a table, oldest first; of a damaged file all that can be read.

        Args:
            table: its name; it need not exist.
            columns: what to select.
            plain: turns a row into what is yielded; raises ``TypeError`` or ``ValueError`` for one
                that does not hold what it should, because the file is damaged.
            where: which rows.
        """
        if self._empty or not self._has(table):
            return
        last, most = 0, self._most_rows(table)
        query = f"SELECT rowid AS row_number, {columns} FROM {table} WHERE ({where})"
        try:
            for row in self._connection.execute(f"{query} ORDER BY rowid"):
                number = row["row_number"]
                last = number if last < number <= most else last
                yield plain(_columns(row))
            return
        except BAD_ROW as error:
            self._note(error)
        for number in range(last + 1, most + 1):
            try:
                row = self._connection.execute(f"{query} AND rowid = ?", (number,)).fetchone()
                found = plain(_columns(row)) if row is not None else None
            except BAD_ROW:
                continue
            if found is not None:
                yield found

    def _has(self, table: str) -> bool:
        try:
            query = "SELECT 1 FROM sqlite_master WHERE name = ?"
            return self._connection.execute(query, (table,)).fetchone() is not None
        except sqlite3.Error as error:
            self._note(error)
            return False

    def _note(self, error: Exception) -> None:
        told = problem(error) if isinstance(error, ValidationError) else str(error)
        self.damage = self.damage or told

    def rows(self, query: str, *values: object) -> Iterator[Row]:
        """Yield the rows of a query.

        Raises:
            NegGenError: If the file is damaged.
        """
        if self._empty:
            return
        with self._explained():
            for row in self._connection.execute(query, values):
                yield dict(row)

    def _most_rows(self, table: str) -> int:
        """Return the largest number that a row may have: they are counted from 1."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        by_size = sum(file.stat().st_size for file in files if file.exists()) // SHORTEST_ROW
        try:
            largest = self._connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0]
        except sqlite3.Error:
            return by_size
        return min(largest or 0, by_size)

    def _open(self) -> tuple[sqlite3.Connection, int, int]:
        """Return a connection, the file's format and the number of its tables."""
        try:
            return _look(self.path, "mode=ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
            ):
                raise
        # The write-ahead log needs a file beside it that cannot be made in a read-only folder.
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size:
            self.warning = (
                f"The newest answers are in {log} and cannot be seen in a read-only folder; copy "
                "the folder to a place that can be written to see them."
            )
        return _look(self.path, "immutable=1")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise NegGenError(
                f"The journal {self.path} cannot be read ({error}); save what can be with "
                f"neggen journal {quoted(self.path.parent)} --export FILE.jsonl, and try to mend a "
                f"copy with: {_mending(self.path)}"
            ) from error

    def __enter__(self) -> Self:
        """Return the listing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._connection.close()


def _mending(path: Path) -> str:
    return f"sqlite3 {path.name} .recover | sqlite3 mended.sqlite"


def _look(path: Path, how: str) -> tuple[sqlite3.Connection, int, int]:
    address = f"{path.absolute().as_uri()}?{how}"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        connection.execute("BEGIN")  # all queries see the same moment
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except BaseException:
        connection.close()
        raise
    return connection, version, tables


def _columns(row: sqlite3.Row) -> Row:
    return {name: row[name] for name in row.keys() if name != "row_number"}  # noqa: SIM118


def _plain(row: Row) -> Row:
    check(row, AnswerLine)
    return row
