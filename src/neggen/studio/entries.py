"""What there is to review: every side of every item, with how good it is and what was decided."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError, first_line
from neggen.generation.inputs import describable
from neggen.generation.journal.reviews import Key, Review, State, latest, to_undo
from neggen.generation.records import MODALITIES, SCHEMA
from neggen.generation.reviews import side_digest

KEY = ("item_id", "modality", "completion")
TEXTS = ("description", "negative")
FIGURES = {
    "contrast": "contrast",
    "cohesion": "cohesion",
    "closer_share": "closer",
    "hardness": "hardness",
}
"""Measures of a negative that are shown, and what to call them (see docs/quality.md)."""
OPEN = ("open", "regenerated")
"""How a record stands that nobody has agreed to yet."""
STATUSES = ("open", "approved", "edited", "regenerated", "rejected")


class Seen(NamedTuple):
    """What there was of an entry when somebody looked at it.

    Attributes:
        number: of the latest review of it, 0 for none.
        shown: a SHA-256 of its record and of the text or picture that this describes.
    """

    number: int
    shown: str


@dataclass(frozen=True)
class Entry:
    """One description and negative of an item, or the lack of one.

    Attributes:
        key: item, modality and completion.
        item: internal index of the item.
        state: the record and what was decided about it.
        describes: a SHA-256 of the side of the item as it is now.
        figures: measures by what to call them; empty if it was not measured as it is.
        why: what is bad about it, in words, or empty.
        reviews: what was decided about it, oldest first.
    """

    key: Key
    item: int
    state: State
    describes: str
    figures: Mapping[str, float]
    why: str
    reviews: tuple[Review, ...]

    @property
    def seen(self) -> Seen:
        """What whoever looks at it now has seen."""
        shown = json.dumps([self.state.record, self.describes], sort_keys=True)
        number = self.reviews[-1].number if self.reviews else 0
        return Seen(number, hashlib.sha256(shown.encode()).hexdigest())

    @property
    def undoable(self) -> Review | None:
        """The review that an undo would take back, of those about the side as it is now."""
        return to_undo(self.reviews, self.key, self.describes)


class Entries:
    """All entries of a workspace at one moment.

    Attributes:
        table: one row an entry, by item: ``item_id``, ``modality``, ``completion``, ``item``
            (internal index), ``record`` (row in the records, or null), ``status``, ``negative``
            (whether one is used), ``badness``, ``why`` and what can be searched, ``text``.
        reviews: all reviews, oldest first.
        measured: whether the quality of the negatives was measured at all.
    """

    def __init__(
        self,
        data: Dataset,
        records: pl.DataFrame,
        reviews: Sequence[Review],
        quality: Path,
    ) -> None:
        """Put together what is known.

        Args:
            data: the catalogue.
            records: the records in use.
            reviews: all reviews, oldest first.
            quality: the table of ``neggen quality``, which need not exist.
        """
        self.reviews = list(reviews)
        self.measured = quality.is_file()
        self._data = data
        self._position = {item_id: index for index, item_id in enumerate(data.item_ids)}
        self._latest = latest(reviews)
        self._records: dict[Key, dict[str, Any]] = {
            (row["item_id"], row["modality"], row["completion"]): row
            for row in records.select(list(SCHEMA)).iter_rows(named=True)
            if row["item_id"] in self._position
        }
        self._quality = self._measures(quality)
        self.table = self._table()

    def find(self, key: Key) -> Entry | None:
        """Return an entry, or None if there is none (any more)."""
        if key[0] not in self._position or key not in self._keys:
            return None
        item = self._position[key[0]]
        measured = self._quality.get(key, {})
        return Entry(
            key=key,
            item=item,
            state=self._state(key),
            describes=side_digest(self._data, item, key[1]),
            figures={
                label: measured[name]
                for name, label in FIGURES.items()
                if measured.get(name) is not None
            },
            why=measured.get("why") or "",
            reviews=tuple(review for review in self.reviews if review.key == key),
        )

    def siblings(self, key: Key) -> list[State]:
        """Return the other completions of the description that ``key`` belongs to."""
        return [self._state(other) for other in self._keys if other[:2] == key[:2] and other != key]

    @cached_property
    def _keys(self) -> dict[Key, None]:
        keys: dict[Key, None] = dict.fromkeys(self._records)
        keys |= dict.fromkeys(
            key
            for key, review in self._latest.items()
            if review.after.verdict == "rejected" and key[0] in self._position
        )
        described = {key[:2] for key in keys}
        for modality in MODALITIES:
            for index in describable(self._data, modality):
                if (side := (str(self._data.item_ids[index]), modality)) not in described:
                    keys[*side, 0] = None
        return keys

    def _state(self, key: Key) -> State:
        """Return how a record stands; what was decided about another text or picture is void."""
        last = self._latest.get(key)
        if last is None or last.after.verdict is None:
            return State(None, self._records.get(key))
        if last.describes != side_digest(self._data, self._position[key[0]], key[1]):
            return State(None, self._records.get(key))
        return last.after

    def _measures(self, path: Path) -> dict[Key, dict[str, Any]]:
        """Return the measures of the records that are still as they were measured."""
        if not path.is_file():
            return {}
        try:
            table = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise NegGenError(
                f"{path} cannot be read ({first_line(error)}); delete it, and neggen quality makes "
                "it anew."
            ) from None
        names = [name for name in (*FIGURES, "badness", "why") if name in table.columns]
        if not set(TEXTS) <= set(table.columns):
            return {}  # measured by an earlier version, which did not say what
        found = {}
        for row in table.select(*KEY, *TEXTS, *names).iter_rows(named=True):
            key = (row["item_id"], row["modality"], row["completion"])
            record = self._state(key).record if key[0] in self._position else None
            if record is not None and all(row[text] == record[text] for text in TEXTS):
                found[key] = row
        return found

    def _table(self) -> pl.DataFrame:
        rows = []
        for key in self._keys:
            state, measured = self._state(key), self._quality.get(key, {})
            record = state.record or {}
            rows.append(
                {
                    **dict(zip(KEY, key, strict=True)),
                    "item": self._position[key[0]],
                    "status": state.verdict or "open",
                    "negative": state.used is not None,
                    "badness": measured.get("badness"),
                    "why": measured.get("why") or "",
                    "text": "\n".join(
                        (
                            key[0],
                            self._data.item_text(self._position[key[0]]) or "",
                            record.get("description", ""),
                            record.get("negative", ""),
                        )
                    ).lower(),
                }
            )
        schema = {
            "item_id": pl.String, "modality": pl.String, "completion": pl.Int32, "item": pl.Int64,
            "status": pl.String, "negative": pl.Boolean, "badness": pl.Float64, "why": pl.String,
            "text": pl.String,
        }  # fmt: skip
        return pl.DataFrame(rows, schema=schema).sort("item", "modality", "completion")
