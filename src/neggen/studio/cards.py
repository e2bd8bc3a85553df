"""What the generator wrote about items: texts in marked pieces, and how good they are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neggen.data.dataset import Dataset
from neggen.generation.records import MASK, MODALITIES
from neggen.studio.pictures import LARGE, Thumbnails

EXAMPLES = 40
"""Items looked at for the one that explains the idea."""
WORD = re.compile(r"\w+")
SIDES = {"image": "picture", "text": "text"}
"""What a modality is called in print."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a text, inside or outside a slot."""

    text: str
    is_slot: bool


@dataclass(frozen=True)
class RecordView:
    """One description and its negative.

    Attributes:
        side: ``picture`` or ``text``.
        positive: the description.
        masked: its template; the slots hold no text.
        negative: the negative.
        slots: number of key attributes.
        kept: share of the description's words outside the slots.
        contrast: 1 − cos(x⁺, x⁻), or None if not encoded.
    """

    side: str
    positive: tuple[Piece, ...]
    masked: tuple[Piece, ...]
    negative: tuple[Piece, ...]
    slots: int
    kept: float
    contrast: float | None


@dataclass(frozen=True)
class Card:
    """An item with its records; ``lacking`` says in words what is not there and why."""

    item_id: str
    title: str
    picture: str | None
    records: tuple[RecordView, ...]
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class Quality:
    """Means over all records of one side."""

    side: str
    records: int
    items: int
    slots: float
    kept: float
    contrast: float | None


def choose_items(data: Dataset, count: int, rng: np.random.Generator) -> list[int]:
    """Draw items such that every combination of present and missing sides is there.

    Args:
        data: with records.
        count: how many items, at most.
        rng: decides the draw.
    """
    has = [frozenset(sides) for sides in _records_by_item(data)]
    order = rng.permutation(len(has)).tolist()
    first_of_kind = list({has[item]: item for item in reversed(order)}.values())
    first_of_kind.sort(key=lambda item: -len(has[item]))
    chosen = list(dict.fromkeys([*first_of_kind, *order]))[:count]
    return sorted(chosen, key=lambda item: (-len(has[item]), order.index(item)))


def make_cards(data: Dataset, items: Sequence[int], thumbnails: Thumbnails) -> list[Card]:
    """Return the cards of some items of a data set with records."""
    records = _records_by_item(data)
    return [
        Card(
            item_id=str(data.item_ids[item]),
            title=data.item_title(item),
            picture=thumbnails.get(item, LARGE),
            records=tuple(
                record_view(record, _contrast(data, item, side))
                for side, record in records[item].items()
            ),
            lacking=tuple(
                _why_missing(data, item, side) for side in MODALITIES if side not in records[item]
            ),
        )
        for item in items
    ]


def choose_example(
    data: Dataset, thumbnails: Thumbnails, rng: np.random.Generator
) -> tuple[Card, RecordView] | None:
    """Draw a few items and return the one to explain with, and which of its records.

    The best has most sides and, in one of them, two slots or more in few words.
    """
    drawn = rng.permutation(len(data.item_ids))[:EXAMPLES].tolist()

    def plainness(pair: tuple[Card, RecordView]) -> tuple[int, bool, int]:
        card, record = pair
        return -len(card.records), record.slots < 2, sum(len(p.text) for p in record.positive)

    pairs = [
        (card, record) for card in make_cards(data, drawn, thumbnails) for record in card.records
    ]
    return min(pairs, key=plainness, default=None)


def qualities(data: Dataset) -> list[Quality]:
    """Return the means over all records, by side."""
    assert data.records is not None
    found = []
    for (side,), frame in data.records.group_by("modality", maintain_order=True):
        views = [record_view(record, None) for record in frame.iter_rows(named=True)]
        found.append(
            Quality(
                side=SIDES[str(side)],
                records=len(views),
                items=frame["item_id"].n_unique(),
                slots=float(np.mean([view.slots for view in views])),
                kept=float(np.mean([view.kept for view in views])),
                contrast=_mean_contrast(data, str(side)),
            )
        )
    return found


def record_view(record: Mapping[str, Any], contrast: float | None) -> RecordView:
    """Cut a record's texts into pieces and measure them."""
    context = record["template"].split(MASK)  # [slots + 1]
    outside, inside = (
        sum(len(WORD.findall(text)) for text in texts) for texts in (context, record["values"])
    )
    return RecordView(
        side=SIDES[record["modality"]],
        positive=_pieces(context, record["values"]),
        masked=_pieces(context, [""] * len(record["values"])),
        negative=_pieces(context, record["replacements"]),
        slots=len(record["values"]),
        kept=outside / max(1, outside + inside),
        contrast=contrast,
    )


def _pieces(context: Sequence[str], fillings: Sequence[str]) -> tuple[Piece, ...]:
    pieces = [Piece(context[0], is_slot=False)]
    for filling, text in zip(fillings, context[1:], strict=True):
        pieces += [Piece(filling, is_slot=True), Piece(text, is_slot=False)]
    return tuple(piece for piece in pieces if piece.text or piece.is_slot)


def _records_by_item(data: Dataset) -> list[dict[str, Mapping[str, Any]]]:
    """Return each item's first record by modality, in the order of ``MODALITIES``."""
    assert data.records is not None
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    # The first that is left: it need not be number 0, which a person may have rejected alone.
    first = data.records.sort("modality", "completion").unique(
        ["item_id", "modality"], keep="first", maintain_order=True
    )
    for record in first.iter_rows(named=True):
        found.setdefault(record["item_id"], {})[record["modality"]] = record
    return [found.get(item_id, {}) for item_id in data.item_ids]


def _why_missing(data: Dataset, item: int, side: str) -> str:
    there = data.image_path(item) if side == "image" else data.item_text(item)
    if there is None:
        return f"This item has no {SIDES[side]}; the model leaves that side out for it."
    return (
        f"Nothing is used for its {SIDES[side]} (no valid answer, or rejected in review); that "
        "side is left out."
    )


def _contrast(data: Dataset, item: int, side: str) -> float | None:
    """Return 1 − cos(x⁺, x⁻) of an item's first record of a side."""
    if data.vectors is None:
        return None
    modality = data.vectors.modalities.index(side)
    positive = data.vectors.positive[item, modality]  # [d]
    negative = data.vectors.negative[item, 0, modality]  # [d]
    norms = np.linalg.norm(positive) * np.linalg.norm(negative)
    return float(1 - positive @ negative / max(norms, 1e-12))


def _mean_contrast(data: Dataset, side: str) -> float | None:
    if data.vectors is None:
        return None
    items = np.flatnonzero(data.vectors.mask[:, data.vectors.modalities.index(side)])
    return float(np.mean([_contrast(data, item, side) for item in items.tolist()]))
