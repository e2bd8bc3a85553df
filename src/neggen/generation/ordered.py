"""What finishes in any order, handed on in the order it began."""

from __future__ import annotations

from collections.abc import Callable

from neggen.generation.records import Record


class InOrder:
    """Holds back what came too early; with workers side by side, that is little."""

    def __init__(self, write: Callable[[list[Record]], None]) -> None:
        """Prepare; ``write`` gets the records of item 0, then those of item 1, and so on."""
        self._write = write
        self._next = 0
        self._early: dict[int, list[Record]] = {}

    def add(self, number: int, records: list[Record]) -> None:
        """Take the records of the item with this number, counted from 0."""
        self._early[number] = records
        while self._next in self._early:
            self._write(self._early.pop(self._next))
            self._next += 1
