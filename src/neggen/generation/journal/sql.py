"""What is written to the journal, as SQL."""

from __future__ import annotations

CLAIM = """
INSERT INTO units (key, item_id, modality, generator, state, owner)
VALUES (?, ?, ?, ?, 'claimed', ?)
ON CONFLICT (key) DO UPDATE SET state = 'claimed', owner = excluded.owner
WHERE state NOT IN ('claimed', 'batched')
"""
ACKNOWLEDGE = """
INSERT OR IGNORE INTO answers (key, unit, item_id, modality, step, completion, attempt, generator,
answer, prompt_tokens, completion_tokens, cost) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
REJECT = "UPDATE answers SET rejected_kind = ?, rejected_reason = ? WHERE key = ?"
FINISH = """
INSERT INTO units (key, item_id, modality, generator, state, kind, reason, attempts, cost)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET state = excluded.state, owner = NULL, kind = excluded.kind,
reason = excluded.reason, attempts = excluded.attempts,
cost = coalesce(cost + excluded.cost, cost, excluded.cost)
WHERE state NOT IN ('claimed', 'batched') OR owner = ?
"""
RELEASE = """
UPDATE units SET state = iif(kind IS NULL, 'open', 'dead'), owner = NULL,
cost = coalesce(cost + ?1, cost, ?1)
WHERE state = 'claimed' AND (key = ?2 OR owner = ?3)
"""
