"""What one journal file takes over from another, or gives to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from neggen.generation.journal.file import JournalFile

_MERGE_ANSWERS = """
INSERT INTO main.answers SELECT * FROM other.answers WHERE true
ON CONFLICT (key) DO UPDATE SET rejected_kind = coalesce(rejected_kind, excluded.rejected_kind),
rejected_reason = coalesce(rejected_reason, excluded.rejected_reason)
"""
_MERGE_UNITS = """
INSERT INTO main.units SELECT * FROM other.units WHERE state IN ('valid', 'dead')
ON CONFLICT (key) DO UPDATE SET state = excluded.state, owner = NULL, kind = excluded.kind,
reason = excluded.reason, attempts = excluded.attempts, at = excluded.at,
cost = coalesce(cost + excluded.cost, cost, excluded.cost)
"""
# What was paid for units that nobody finished; the answers of these are taken over as well.
_MERGE_COSTS = """
UPDATE main.units SET cost = coalesce(cost, 0) + (
    SELECT open.cost FROM other.units AS open WHERE open.key = main.units.key
) WHERE key IN (
    SELECT key FROM other.units WHERE state NOT IN ('valid', 'dead') AND cost IS NOT NULL
)
"""
_THESE = "(SELECT value FROM json_each(?))"
_ANYTHING_KNOWN = f"""
SELECT EXISTS (SELECT 1 FROM answers WHERE unit IN {_THESE})
OR EXISTS (SELECT 1 FROM units WHERE kind IS NOT NULL AND key IN {_THESE})
"""
_COPY_ANSWERS = f"""
INSERT INTO other.answers
SELECT key, unit, item_id, modality, step, completion, attempt, generator, answer, prompt_tokens,
completion_tokens, NULL, rejected_kind, rejected_reason, at
FROM main.answers WHERE unit IN {_THESE}
"""
_COPY_UNITS = f"""
INSERT INTO other.units
SELECT key, item_id, modality, generator, 'dead', NULL, kind, reason, attempts, NULL, at
FROM main.units WHERE kind IS NOT NULL AND key IN {_THESE}
"""


def merge(file: JournalFile, other: Path) -> None:
    """Take over what another journal file knows, once, answers known already excepted.

    Raises:
        NegGenError: If either file cannot be used.
    """
    with file.attached(other) as execute:
        if execute("PRAGMA other.user_version").fetchone()[0] == 0:
            return  # whoever began it died before there was anything
        execute("BEGIN IMMEDIATE")
        if execute("SELECT 1 FROM main.merged WHERE name = ?", (other.name,)).fetchone():
            return
        execute(_MERGE_ANSWERS)
        execute(_MERGE_COSTS)
        execute(_MERGE_UNITS)
        execute("INSERT INTO main.merged VALUES (?)", (other.name,))
        execute("COMMIT")


def copy(file: JournalFile, other: Path, units: Sequence[str]) -> None:
    """Put what is known about some units into a new journal file, if anything is.

    The copies cost nothing, so that the other file tells what is spent from then on.

    Args:
        file: the journal.
        other: where the new one is made.
        units: keys.

    Raises:
        NegGenError: If either file cannot be used.
    """
    keys = (json.dumps(units),)
    if file.read(_ANYTHING_KNOWN, keys * 2) == (0,):
        return
    JournalFile(other, shared=False).close()
    with file.attached(other) as execute:
        execute("BEGIN IMMEDIATE")
        execute(_COPY_ANSWERS, keys)
        execute(_COPY_UNITS, keys)
        execute("COMMIT")
