"""What a reader of one source format is, and what every reader may be told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from neggen.data.dataset import Dataset

if TYPE_CHECKING:
    from neggen.data.download import Downloads

NAMED_IN_NOTE = 5


@dataclass(frozen=True)
class ReadOptions:
    """What a source does not say itself.

    Attributes:
        interactions: the table of interactions, if it is not ``SOURCE/interactions.*``.
        items: the table of items, if it is not ``SOURCE/items.*``.
        images: the folder that picture paths are relative to, if it is not that of the items.
        user_column: name of the user column.
        item_column: name of the item column.
        image_column: name of the column of picture paths.
        drop_unknown: drop interactions whose item has no row instead of refusing them.
        downloads: how to download the pictures whose web addresses the column holds; without it,
            they are masked.
        min_rating: the lowest rating that counts as an interaction; without it, every one does.
        all_items: also keep items that nobody used, where a source knows many more than were.
    """

    interactions: Path | None = None
    items: Path | None = None
    images: Path | None = None
    user_column: str = "user_id"
    item_column: str = "item_id"
    image_column: str = "image"
    drop_unknown: bool = False
    downloads: Downloads | None = None
    min_rating: float | None = None
    all_items: bool = False

    def given(self) -> frozenset[str]:
        """Return the names of what was told."""
        return frozenset(
            field.name for field in fields(self) if getattr(self, field.name) != field.default
        )


class Reader(Protocol):
    """One source format."""

    name: str
    """What the format is called, such as ``mmrec``."""
    layout: str
    """Its files in a few words, for the message that nothing was recognized."""
    heeds: frozenset[str]
    """The fields of :class:`ReadOptions` that apply to it."""

    def recognizes(self, path: Path) -> bool:
        """Return whether ``path``, an existing file or folder, looks like this format."""

    def read(self, path: Path, options: ReadOptions) -> Dataset:
        """Read the source; files in the folder that are not used are named in ``notes``.

        Raises:
            NegGenError: For anything wrong in the files, naming file, row and value.
        """


def unused_note(folder: Path, used: Iterable[str]) -> tuple[str, ...]:
    """Return a sentence on the entries of ``folder`` that are not used, if there are any."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    # A name need not be UTF-8, and the note is written to a file that is.
    unused = [os.fsencode(n).decode(errors="replace") for n in sorted(names.difference(used))]
    if not unused:
        return ()
    more = f" and {len(unused) - NAMED_IN_NOTE:,} more" if len(unused) > NAMED_IN_NOTE else ""
    return (f"Not used from {folder}: {', '.join(unused[:NAMED_IN_NOTE])}{more}.",)
