"""What the journal keeps: units of questions, why they failed, and answers."""

from __future__ import annotations

from dataclasses import dataclass

from neggen.generation.records import InvalidAnswer
from neggen.generation.requests import Completion


@dataclass(frozen=True)
class Unit:
    """The questions about one side of one item, as one set of prompts asks them.

    Attributes:
        key: SHA-256 over everything that decides the questions, hexadecimal.
        item_id: external id.
        modality: which side.
        generator: who answers, for people.
    """

    key: str
    item_id: str
    modality: str
    generator: str


@dataclass(frozen=True)
class Failure:
    """Why a unit is dead: no record, or fewer than were wanted.

    Attributes:
        kind: two or three words to count by.
        reason: a sentence.
        attempts: how many answers to one question had been allowed.
        cost: US dollars that unanswered calls may have been billed; None where unknown.
    """

    kind: str
    reason: str
    attempts: int
    cost: float | None = None


@dataclass(frozen=True)
class Kept:
    """An acknowledged answer, and what was wrong with it if it was found invalid."""

    completion: Completion
    rejected: InvalidAnswer | None = None
