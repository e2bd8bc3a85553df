"""Telling how far an encoding is."""

from __future__ import annotations

from collections.abc import Callable


def advancing(on_progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    """Return what is called with how many were finished since, to tell (finished, ``total``)."""
    finished = 0

    def advance(count: int) -> None:
        nonlocal finished
        finished += count
        if on_progress is not None:
            on_progress(finished, total)

    return advance
