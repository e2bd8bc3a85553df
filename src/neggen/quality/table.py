"""One row a record with every measure, worst first."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.quality.hardness import Hardness
from neggen.quality.neighbours import Neighbours
from neggen.quality.preference import Preference
from neggen.quality.synonyms import SYNONYM_COSINE
from neggen.quality.texts import text_measures

RANKED = {
    "contrast": True,
    "cohesion": True,
    "synonym_share": False,
    "stock_share": False,
    "closer_share": False,
    "neighbour_lift": False,
}
"""Measures that make up ``badness``, and whether a low value is the bad one."""
EXTREME = 0.95
"""Share of a modality's records that a record must be worse than for a measure to be named."""


def items_table(
    data: Dataset,
    records: pl.DataFrame,
    vectors: ItemVectors,
    slot_cosines: pl.Series,
    neighbours: Neighbours,
    preference: Preference,
    lift: NDArray[np.float32],
    false: NDArray[np.bool_],
    hardness: Hardness | None,
) -> pl.DataFrame:
    """Put all measures of the records side by side.

    Args:
        data: the catalogue.
        records: the records of its items.
        vectors: their encodings.
        slot_cosines: of ``records``, a list a record.
        neighbours: of ``vectors``.
        preference: of ``vectors``.
        lift: of ``neighbours``.
        false: which negatives are false, ``[items, completions, modalities]``.
        hardness: of a run, if there is one.

    Returns:
        ``item_id``, ``modality``, ``completion``, ``description``, ``negative``, the measures
        (docs/quality.md says what each means), ``badness`` and ``why``. Badness is the mean over
        ``RANKED`` measures of the share of the modality's records that are better, plus 1 if the
        negative is false and 1 if it is a duplicate. Ordered by it, worst first.
    """
    index = {item: position for position, item in enumerate(data.item_ids)}
    item = np.array([index[name] for name in records["item_id"]])  # [records]
    modality = np.array([vectors.modalities.index(m) for m in records["modality"]])
    completion = records["completion"].to_numpy()
    positive, negative = (
        vectors.positive[item, modality],
        vectors.negative[item, completion, modality],
    )
    columns: dict[str, NDArray[np.float32]] = {
        "contrast": 1 - _cosine(positive, negative),
        "distance": np.linalg.norm(positive - negative, axis=1),
        "cohesion": neighbours.cohesion[item, 1 + completion, modality],
        "cohesion_of_description": neighbours.cohesion[item, 0, modality],
        "closer_share": preference.closer[item, completion, modality],
        "neighbour_lift": lift[item, 1 + completion, modality],
        "neighbour_lift_of_description": lift[item, 0, modality],
    }
    if hardness is not None:
        columns["hardness"] = hardness.by_text[item, 1 + completion, modality]
    synonyms = slot_cosines.list.eval((pl.element() >= SYNONYM_COSINE).cast(pl.Float64))
    table = pl.concat(
        [
            records.select("item_id", "modality", "completion", "description", "negative"),
            text_measures(records),
            pl.DataFrame(columns, nan_to_null=True),
        ],
        how="horizontal",
    ).with_columns(
        synonyms.list.mean().alias("synonym_share"),
        pl.Series("false_negative", false[item, completion, modality]),
        balance=pl.col("distance") / pl.col("distance").max().over("item_id", "completion"),
    )
    return _judged(table)


def _judged(table: pl.DataFrame) -> pl.DataFrame:
    """Add ``badness`` and ``why``, and sort by the first."""
    worse_than = [_worse_than(name, low).alias(f"_{name}") for name, low in RANKED.items()]
    flags = pl.col("false_negative").cast(pl.Float64) + pl.col("duplicate").cast(pl.Float64)
    reasons = {
        "fits what its users like": pl.col("false_negative"),
        "duplicate": pl.col("duplicate"),
        "says nearly the same": pl.col("synonym_share") > 0,
        "stock answer": pl.col("stock_share") > 0,
        "differs less than most": pl.col("_contrast") >= EXTREME,
        "unlike the catalogue": pl.col("_cohesion") >= EXTREME,
        "closer to its users' other items": pl.col("_closer_share") >= EXTREME,
    }
    why = pl.concat_str(
        [pl.when(holds).then(pl.lit(reason)) for reason, holds in reasons.items()],
        separator="; ",
        ignore_nulls=True,
    )
    return (
        table.with_columns(worse_than)
        .with_columns(
            badness=pl.mean_horizontal([f"_{name}" for name in RANKED]) + flags,
            why=why,
        )
        .drop([f"_{name}" for name in RANKED])
        .sort(["badness", "item_id", "modality", "completion"], descending=[True, *[False] * 3])
    )


def _worse_than(name: str, low: bool) -> pl.Expr:
    """Return the share of the modality's other records that are better; 0 where not measured."""
    better = pl.col(name).rank("min", descending=low) - 1
    others = (pl.len() - 1).clip(lower_bound=1)
    return (better / others).over("modality").fill_null(0.0)


def _cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: NDArray[np.float32] = (left * right).sum(1) / np.maximum(norms, 1e-12)
    return cosines
