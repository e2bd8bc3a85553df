"""Long work in a thread, which ends early when nobody waits for it any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")


class Stopped(Exception):
    """The work was told to stop."""


def until(stop: Event, items: Iterable[Item]) -> Iterator[Item]:
    """Yield ``items``, as long as nobody says stop.

    Raises:
        Stopped: Instead of the next item, once ``stop`` is set.
    """
    for item in items:
        if stop.is_set():
            raise Stopped
        yield item
