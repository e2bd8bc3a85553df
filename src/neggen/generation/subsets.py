"""Parts of records: graded negatives, and key attributes without their context.

A record of K slots holds 2^K − 1 negatives that no further call is needed for. With all slots
replaced a negative is easy to tell from its description, with one slot replaced it is hard.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from neggen.data.vectors import Reads
from neggen.generation.records import MASK, Record, fill

BETWEEN = ", "


def with_slots(record: Record, slots: Collection[int]) -> str:
    """Return the description with some of its slots replaced.

    No slot gives ``description``, all of them give ``negative``.

    Args:
        record: a description with its replacements.
        slots: which ones, from 0.

    Raises:
        ValueError: If there is no such slot.
    """
    count = len(record.values)
    if unknown := set(slots) - set(range(count)):
        raise ValueError(f"there is no slot {min(unknown)} among {count} (from 0)")
    pairs = zip(record.values, record.replacements, strict=True)
    return fill(
        record.template,
        tuple(new if slot in slots else old for slot, (old, new) in enumerate(pairs)),
    )


def one_slot_negatives(record: Record) -> tuple[str, ...]:
    """Return the hardest negatives, one a slot, in which that slot alone is replaced.

    >>> one_slot_negatives(
    ...     Record(
    ...         item_id="7",
    ...         modality="text",
    ...         description="A red mug with dots.",
    ...         template="A [MASK] mug with [MASK].",
    ...         values=("red", "dots"),
    ...         replacements=("blue", "stripes"),
    ...         negative="A blue mug with stripes.",
    ...     )
    ... )
    ('A blue mug with dots.', 'A red mug with stripes.')
    """
    return tuple(with_slots(record, {slot}) for slot in range(len(record.values)))


def as_read(records: pl.DataFrame, reads: Reads) -> pl.DataFrame:
    """Return records as an encoder reads them: whole, or :func:`attributes_alone`."""
    return attributes_alone(records) if reads == "attributes" else records


def attributes_alone(records: pl.DataFrame) -> pl.DataFrame:
    """Return records whose texts are their key attributes, with commas between.

    A [red] mug with [dots] becomes "red, dots", and its negative "blue, stripes". Restyling the
    context of a description then changes nothing.

    Args:
        records: with the columns of ``neggen.generation.records.SCHEMA``.
    """
    slots = pl.lit(MASK).repeat_by(pl.col("values").list.len())
    return records.with_columns(
        description=pl.col("values").list.join(BETWEEN),
        template=slots.list.join(BETWEEN),
        negative=pl.col("replacements").list.join(BETWEEN),
    )
