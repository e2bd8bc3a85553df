"""What generation produces: one record per item and modality, and the check every record passes.

An answer arrives as text in which square brackets mark the key attributes::

    A [slim calculator] with [RPN] ...

Brackets of an answer are always markup. Brackets of the item's own text never reach a record: the
prompts ask for round ones, and nested or unbalanced brackets make an answer invalid.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import Literal, Self, get_args

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from neggen.errors import NegGenError

Modality = Literal["image", "text"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
MASK = "[MASK]"

SCHEMA = pl.Schema(
    [
        ("item_id", pl.String()),
        ("modality", pl.String()),
        ("completion", pl.Int32()),
        ("description", pl.String()),
        ("template", pl.String()),
        ("values", pl.List(pl.String())),
        ("replacements", pl.List(pl.String())),
        ("negative", pl.String()),
        ("generator", pl.String()),
    ]
)


class InvalidAnswer(Exception):
    """An answer that cannot become a record.

    Attributes:
        kind: two or three words to count by, such as ``no slots``.
        reason: a sentence that a person, or the model when asked again, can act on.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Answer(BaseModel):
    """A finished answer: the marked description and one replacement per bracketed attribute."""

    model_config = ConfigDict(frozen=True)

    marked: str
    replacements: tuple[str, ...]


class Record(BaseModel):
    """A description, its template, and a negative that differs in the slots only.

    Attributes:
        item_id: the item's external id.
        modality: ``image`` or ``text``.
        description: what the item is, x⁺.
        template: ``description`` with every key attribute replaced by ``[MASK]``.
        values: the key attributes, in order. ``[slots]``
        replacements: contrasting values for the same slots. ``[slots]``
        negative: ``template`` filled with ``replacements``, x⁻.
        completion: which completion of the template this is, from 0.
    """

    model_config = ConfigDict(frozen=True)

    item_id: str
    modality: Modality
    description: str
    template: str
    values: tuple[str, ...]
    replacements: tuple[str, ...]
    negative: str
    completion: int = 0

    @model_validator(mode="after")
    def _template_gives_both_texts(self) -> Self:
        if fill(self.template, self.values) != self.description:
            raise ValueError("filling the template with the values does not give the description")
        if fill(self.template, self.replacements) != self.negative:
            raise ValueError(
                "filling the template with the replacements does not give the negative"
            )
        return self


def fill(template: str, fillings: tuple[str, ...]) -> str:
    """Put one filling into each ``[MASK]`` of ``template``.

    >>> fill("A [MASK] with [MASK].", ("mug", "dots"))
    'A mug with dots.'

    Raises:
        ValueError: If the number of fillings is not the number of slots.
    """
    context = template.split(MASK)
    if len(context) != len(fillings) + 1:
        raise ValueError(f"{len(context) - 1} slots cannot take {len(fillings)} fillings")
    return "".join(chain.from_iterable(zip_longest(context, fillings, fillvalue="")))


def records_frame(records: list[Record], generator: str) -> pl.DataFrame:
    """Return records as a table with the columns of ``SCHEMA``, naming who wrote them."""
    rows = [{**record.model_dump(), "generator": generator} for record in records]
    return pl.DataFrame(rows, schema=SCHEMA)


def check_records(frame: pl.DataFrame, source: str) -> None:
    """Check a table of records, such as one a person edited.

    Raises:
        NegGenError: For a missing column or a row that breaks the invariant, naming ``source``.
    """
    missing = [column for column in SCHEMA if column not in frame.columns]
    if missing:
        raise NegGenError(f"{source} lacks the column '{missing[0]}'; run neggen generate again.")
    for number, row in enumerate(frame.select(list(Record.model_fields)).iter_rows(named=True)):
        try:
            Record(**row)
        except ValidationError as error:
            raise NegGenError(
                f"{source}, row {number} (item '{row['item_id']}', {row['modality']}) is not a "
                f"valid record: {error.errors()[0]['msg']}; mend or drop the row."
            ) from None
