"""What the journal knows of batches: every request that went out, and every batch of a provider.

A request that went out is noted before its file can be used, so that its answer finds home even if
the prompts have changed since. A unit that a provider's batch works on has the state ``batched``
and the batch as its owner, until the batch is closed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from neggen.generation.backends.dialect import Dialect
from neggen.generation.batches.collecting import Line
from neggen.generation.journal import Journal, Unit
from neggen.generation.journal.file import Statement
from neggen.generation.requests import Request

FIRST_DIALECT = Dialect(length="max_completion_tokens")
"""What vLLM and all of OpenAI's models understand; without an answer nothing can be tried out."""

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS exported (
        key TEXT PRIMARY KEY,
        unit TEXT NOT NULL,
        item_id TEXT NOT NULL, modality TEXT NOT NULL,
        step TEXT NOT NULL, completion INTEGER NOT NULL, attempt INTEGER NOT NULL,
        generator TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        dialect TEXT NOT NULL,
        open INTEGER NOT NULL DEFAULT 1
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS batches (
        name TEXT PRIMARY KEY,
        server TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'preparing',
        requests INTEGER NOT NULL DEFAULT 0,
        file_id TEXT, batch_id TEXT,
        at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
    )
    """,
    "CREATE TABLE IF NOT EXISTS dialects (generator TEXT PRIMARY KEY, dialect TEXT NOT NULL)",
)
_HOLD = """
INSERT INTO units (key, item_id, modality, generator, state, owner)
SELECT ?, ?, ?, ?, 'batched', ? WHERE NOT EXISTS (SELECT 1 FROM answers WHERE key = ?)
ON CONFLICT (key) DO UPDATE SET state = 'batched', owner = excluded.owner
WHERE state NOT IN ('claimed', 'batched')
"""
_NOTE = """
INSERT OR REPLACE INTO exported
(key, unit, item_id, modality, step, completion, attempt, generator, attempts, dialect)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FAIL = """
INSERT INTO units (key, item_id, modality, generator, state, kind, reason, attempts, cost)
SELECT unit, item_id, modality, generator, 'dead', ?, ?, attempts, ? FROM exported
WHERE key = ? AND open AND NOT EXISTS (SELECT 1 FROM answers WHERE answers.key = exported.key)
ON CONFLICT (key) DO UPDATE SET state = iif(state = 'claimed', state, excluded.state),
owner = iif(state = 'claimed', owner, NULL), kind = excluded.kind, reason = excluded.reason,
attempts = excluded.attempts, cost = coalesce(cost + excluded.cost, cost, excluded.cost)
"""
_SETTLE = "UPDATE exported SET open = 0 WHERE key = ?"
_SETTLE_ALL = """
UPDATE exported SET open = 0
WHERE unit IN (SELECT key FROM units WHERE state = 'batched' AND owner = ?)
"""
_LET_GO = """
UPDATE units SET state = iif(kind IS NULL, 'open', 'dead'), owner = NULL
WHERE state = 'batched' AND owner = ?
"""


@dataclass(frozen=True)
class Exported:
    """A request that went out.

    Attributes:
        unit: the unit that it belongs to.
        request: the request, without its prompts and picture.
        dialect: the options it was asked with.
        open: whether a result is to come.
    """

    unit: Unit
    request: Request
    dialect: Dialect
    open: bool


@dataclass(frozen=True)
class Batch:
    """A provider's batch.

    Attributes:
        name: ours; the provider keeps it in the batch's metadata and as the name of its file.
        server: address of the provider.
        state: ``preparing`` while its file is written, then ``written``, then ``sent``.
        requests: how many it has, as soon as it is written.
        file_id: the provider's id of its file, as soon as it is known.
        batch_id: the provider's id, as soon as it is known.
        at: when it was begun, in seconds since 1970.
    """

    name: str
    server: str
    state: Literal["preparing", "written", "sent"]
    requests: int
    file_id: str | None
    batch_id: str | None
    at: int


class Ledger:
    """Reads and writes the tables of batches in a journal."""

    def __init__(self, journal: Journal) -> None:
        """Use :meth:`open`."""
        self.journal = journal

    @classmethod
    async def open(cls, journal: Journal) -> Ledger:
        """Return the ledger of a journal, with its tables made if needed."""
        await journal.commit([(table, ()) for table in _TABLES])
        return cls(journal)

    def dialect(self, generator: str) -> Dialect:
        """Return the options that a generator's server understands, as far as it has told."""
        rows = self.journal.rows("SELECT dialect FROM dialects WHERE generator = ?", (generator,))
        return Dialect(**json.loads(rows[0][0])) if rows else FIRST_DIALECT

    async def learn(self, generator: str, refused: Dialect, instead: Dialect) -> None:
        """Note what to try instead of a dialect, unless something was learned already."""
        if self.dialect(generator) == refused:
            query = "INSERT OR REPLACE INTO dialects VALUES (?, ?)"
            await self.journal.commit([(query, (generator, _text(instead)))])

    def request(self, key: str) -> Exported | None:
        """Return the request that went out under ``key``, if any did."""
        rows = self.journal.rows(
            "SELECT unit, item_id, modality, generator, step, attempt, completion, dialect, open "
            "FROM exported WHERE key = ?",
            (key,),
        )
        if not rows:
            return None
        unit, item_id, modality, generator, step, attempt, completion, dialect, is_open = rows[0]
        return Exported(
            Unit(unit, item_id, modality, generator),
            Request(item_id, modality, step, attempt, "", "", {}, completion=completion),
            Dialect(**json.loads(dialect)),
            bool(is_open),
        )

    def is_open(self, key: str) -> bool:
        """Return whether a result of the request under ``key`` is to come."""
        sent = self.request(key)
        return sent is not None and sent.open

    async def note(self, lines: Sequence[Line]) -> None:
        """Note requests that go out in a file."""
        await self.journal.commit([_noted(line) for line in lines])

    async def hold(self, lines: Sequence[Line], batch: str) -> list[Line]:
        """Let a batch hold the units of requests and note these.

        Returns:
            The lines that go into it: not those that somebody answered meanwhile or works on.
        """
        statements: list[Statement] = []
        for line in lines:
            unit = line.pending.unit
            row = (unit.key, unit.item_id, unit.modality, unit.generator, batch, line.pending.key)
            statements.append((_HOLD, row))
        await self.journal.commit(statements)
        held = [
            line for line in lines if self.journal.holder(line.pending.unit) == ("batched", batch)
        ]
        await self.note(held)
        return held

    async def fail(self, key: str, kind: str, reason: str, cost: float | None) -> None:
        """Note that a request got no answer and would get none, once for each time it went out."""
        await self.journal.commit([(_FAIL, (kind, reason, cost, key)), (_SETTLE, (key,))])

    async def settle(self, keys: Sequence[str]) -> None:
        """Note that the results of requests were taken, or that none will come."""
        await self.journal.commit([(_SETTLE, (key,)) for key in keys])

    def batches(self, server: str | None = None) -> list[Batch]:
        """Return the batches that are not closed, oldest first, those of one server or all."""
        rows = self.journal.rows(
            "SELECT name, server, state, requests, file_id, batch_id, at FROM batches "
            "WHERE state != 'closed' AND (server = ? OR ? IS NULL) ORDER BY at, rowid",
            (server, server),
        )
        return [Batch(*row) for row in rows]

    async def begin(self, name: str, server: str) -> None:
        """Note a batch before it holds anything."""
        row = (name, server)
        await self.journal.commit([("INSERT INTO batches (name, server) VALUES (?, ?)", row)])

    async def written(self, name: str, requests: int) -> None:
        """Note that the file of a batch is whole."""
        query = "UPDATE batches SET state = 'written', requests = ? WHERE name = ?"
        await self.journal.commit([(query, (requests, name))])

    async def uploaded(self, name: str, file_id: str) -> None:
        """Note that the provider has the file of a batch."""
        query = "UPDATE batches SET file_id = ? WHERE name = ?"
        await self.journal.commit([(query, (file_id, name))])

    async def sent(self, name: str, batch_id: str) -> None:
        """Note that the provider has a batch."""
        query = "UPDATE batches SET state = 'sent', batch_id = ? WHERE name = ?"
        await self.journal.commit([(query, (batch_id, name))])

    async def close(self, name: str) -> None:
        """Give back what a batch holds: what it did not answer is to be asked again."""
        query = "UPDATE batches SET state = 'closed' WHERE name = ?"
        await self.journal.commit([(each, (name,)) for each in (_SETTLE_ALL, _LET_GO, query)])


def _noted(line: Line) -> Statement:
    pending, request, unit = line.pending, line.pending.request, line.pending.unit
    row = (
        pending.key, unit.key, request.item_id, request.modality, request.step, request.completion,
        request.attempt, unit.generator, pending.attempts, _text(line.dialect),
    )  # fmt: skip
    return _NOTE, row


def _text(dialect: Dialect) -> str:
    return json.dumps(asdict(dialect), sort_keys=True)
