"""What a journal holds: counts, failures, and the dialogue about an item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neggen.errors import NegGenError
from neggen.generation.journal.reading import ANSWER_COLUMNS, JournalReader, Row

_UNIT = "key AS unit, item_id, modality, generator, state, kind, reason, attempts, cost"
_UNITS_BY_SIDE = """
SELECT generator, modality, sum(state = 'valid') AS valid, sum(state = 'dead') AS dead,
sum(state NOT IN ('valid', 'dead')) AS unfinished, sum(cost) AS cost
FROM units GROUP BY generator, modality
"""
_ANSWERS_BY_SIDE = """
SELECT generator, modality, count(*) AS answers, count(rejected_kind) AS rejected,
sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
sum(cost) AS cost, min(at) AS first, max(at) AS last
FROM answers GROUP BY generator, modality
"""
_FAILURES = """
SELECT generator, modality, kind, count(*) AS items, min(reason) AS example
FROM units WHERE state = 'dead' GROUP BY generator, modality, kind ORDER BY count(*) DESC, kind
"""


@dataclass
class SideCounts:
    """What one generator wrote about one modality.

    An item counts once for every set of questions: edited prompts or another picture are new ones.

    Attributes:
        generator: who answered.
        modality: which side of the items.
        valid: items with all their records.
        dead: items that were given up, see :meth:`JournalListing.failures`.
        unfinished: items whose questions are not all answered.
        answers: answers kept.
        rejected: those of them that were found invalid.
        prompt_tokens: billed for all answers.
        completion_tokens: billed for all answers.
        cost: US dollars, unanswered tries included; None where no price is known.
        first: when the first answer came, UTC, ISO 8601; None without any.
        last: when the last one came.
    """

    generator: str
    modality: str
    valid: int = 0
    dead: int = 0
    unfinished: int = 0
    answers: int = 0
    rejected: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    first: str | None = None
    last: str | None = None

    def take(self, row: Row) -> None:
        """Take over the columns of a row, and add its cost."""
        costs = [cost for cost in (self.cost, row.pop("cost")) if cost is not None]
        vars(self).update(row, cost=sum(costs) if costs else None)


class JournalListing(JournalReader):
    """What a journal holds, counted and sorted for people.

    Use it as a context manager. Rows are dictionaries by column; their texts are untrusted. All
    methods raise ``NegGenError`` if the file is damaged, but ``answers`` of the reader, which
    yields what can be read.
    """

    def sides(self) -> list[SideCounts]:
        """Return the counts by generator and modality."""
        sides: dict[tuple[str, str], SideCounts] = {}
        for query in (_UNITS_BY_SIDE, _ANSWERS_BY_SIDE):
            for row in self.rows(query):
                name = row["generator"], row["modality"]
                sides.setdefault(name, SideCounts(*name)).take(row)
        return [sides[name] for name in sorted(sides)]

    def waiting_exports(self) -> int:
        """Return how many questions went into batches and have no answer yet."""
        if not list(self.rows("SELECT 1 FROM sqlite_master WHERE name = 'exported'")):
            return 0
        (row,) = self.rows(
            "SELECT count(*) AS waiting FROM exported "
            "WHERE open AND NOT EXISTS (SELECT 1 FROM answers WHERE answers.key = exported.key)"
        )
        return int(row["waiting"])

    def failures(self) -> list[Row]:
        """Return how many items are dead by generator, modality and kind, with an example."""
        return list(self.rows(_FAILURES))

    def dead(self) -> Iterator[Row]:
        """Yield the dead items with kind, reason and attempts, in the order they were begun."""
        return self.rows(f"SELECT {_UNIT} FROM units WHERE state = 'dead' ORDER BY rowid")

    def rejected(self) -> Iterator[Row]:
        """Yield the invalid answers, oldest first."""
        return self.rows(
            f"SELECT {ANSWER_COLUMNS} FROM answers WHERE rejected_kind IS NOT NULL ORDER BY rowid"
        )

    def dialogues(self, item_id: str) -> list[Row]:
        """Return what was asked about an item: its units, each with its ``answers`` in order.

        Raises:
            NegGenError: If it was never asked about.
        """
        found: dict[str, Row] = {}
        for unit in self.rows(f"SELECT {_UNIT} FROM units WHERE item_id = ?", item_id):
            found[unit["unit"]] = {**unit, "answers": []}
        query = f"SELECT {ANSWER_COLUMNS} FROM answers WHERE item_id = ? ORDER BY rowid"
        for answer in self.rows(query, item_id):
            named = {name: answer[name] for name in ("unit", "item_id", "modality", "generator")}
            unit = found.setdefault(answer["unit"], {**named, "state": "open", "answers": []})
            unit["answers"].append(answer)
        if not found:
            raise NegGenError(
                f"The journal {self.path} holds nothing about an item '{item_id}'; ids are those "
                "of the catalogue, in upper and lower case as there."
            )
        return list(found.values())
