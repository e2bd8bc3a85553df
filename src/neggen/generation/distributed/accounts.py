"""What the journal holds about some units: how many answers, and what they took."""

from __future__ import annotations

import json
from collections.abc import Sequence

from neggen.generation.distributed.messages import Counts
from neggen.generation.journal import Journal, Unit
from neggen.generation.records import MODALITIES, Modality

_ANSWERS = """
SELECT count(*), count(rejected_kind), coalesce(sum(prompt_tokens), 0),
coalesce(sum(completion_tokens), 0), sum(cost)
FROM answers WHERE modality = ? AND unit IN (SELECT value FROM json_each(?))
"""
_FAILED_TRIES = """
SELECT sum(cost) FROM units WHERE modality = ? AND key IN (SELECT value FROM json_each(?))
"""


def account(journal: Journal, units: Sequence[Unit]) -> dict[Modality, Counts]:
    """Return what the journal holds about units, by modality."""
    keys = json.dumps([unit.key for unit in units])
    found = {}
    for name in MODALITIES:
        asked, rejected, prompts, completions, cost = journal.rows(_ANSWERS, (name, keys))[0]
        ((failed_tries,),) = journal.rows(_FAILED_TRIES, (name, keys))
        known = [amount for amount in (cost, failed_tries) if amount is not None]
        found[name] = Counts(
            0, asked, rejected, prompts, completions, sum(known) if known else None
        )
    return found
