"""From the tables people have to what a data set is made of, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy.sparse import issparse

from neggen.data.attributes import plain_attributes
from neggen.data.features import features_of
from neggen.data.images import check_images
from neggen.data.indexing import positions
from neggen.data.tables import (
    PARTS,
    as_log,
    as_polars,
    inside,
    refuse_repeated_items,
    take_column,
    unused_columns,
    with_parts,
    with_time,
    without_repeats,
    without_unknown_items,
)
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset


def columns_of(
    interactions: Any | None,
    items: Any | None,
    image_dir: Path | None,
    columns: tuple[str, str, str],
    names: tuple[str, str],
    features: Mapping[str, Any],
    *,
    drop_unknown: bool,
) -> dict[str, Any]:
    """Return what a data set of these tables is made of; see ``Dataset.from_frames``.

    Args:
        interactions: the one table, or None.
        items: the other, or None.
        image_dir: folder of the pictures, or None.
        columns: names of the columns of users, items and pictures.
        names: what messages call the tables.
        features: arrays ``[items, d]`` by modality.
        drop_unknown: drop interactions with unknown items.
    """
    user_column, item_column, image_column = columns
    log_name, items_name = names
    log = as_log(interactions, log_name, user_column, item_column)
    notes: list[str] = []
    if items is None:
        if features:
            raise NegGenError(
                "Features have one row an item; give the items that they are of, too."
            )
        table = log.select("item_id").unique(maintain_order=True)
    else:
        table = take_column(as_polars(items, items_name), items_name, item_column, "item_id")
        refuse_repeated_items(table, items_name)
        table = plain_attributes(table, inside(items_name), notes)
    log = with_parts(with_time(log, log_name), log_name)
    notes.extend(unused_columns(log, log_name))
    log = without_unknown_items(log, table, log_name, drop=drop_unknown, notes=notes)
    user_ids = log["user_id"].unique(maintain_order=True)
    log = log.with_columns(
        user_id=positions(log["user_id"], user_ids),
        item_id=positions(log["item_id"], table["item_id"]),
    )
    log = without_repeats(log, notes)
    table = check_images(table, image_column, image_dir, notes)
    given = {
        modality: features_of(modality, values, len(table), items_name, notes)
        for modality, values in features.items()
    }
    return {
        "user_ids": user_ids,
        "item_ids": table["item_id"],
        "users": log["user_id"].to_numpy(writable=True),
        "items": log["item_id"].to_numpy(writable=True),
        "item_table": table,
        "time": log["time"].to_numpy() if "time" in log.columns else None,
        "given_parts": log["part"].to_numpy() if "part" in log.columns else None,
        "image_dir": image_dir,
        "features": given,
        "notes": tuple(notes),
    }


def matrix_frames(
    matrix: Any,
    user_ids: Sequence[Any] | None,
    item_ids: Sequence[Any] | None,
    min_rating: float | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the interactions and the ids of the items; see ``Dataset.from_matrix``."""
    if not issparse(matrix) or matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise NegGenError(
            f"The matrix is a {type(matrix).__name__}; give a sparse matrix of numbers, users by "
            f"items, such as scipy.sparse.csr_matrix(values)."
        )
    found = matrix.tocsr(copy=True)
    found.sum_duplicates()
    found.eliminate_zeros()
    found = found.tocoo()
    if found.dtype.kind == "f" and not np.isfinite(found.data).all():
        raise NegGenError("The matrix has an entry that is not a finite number; leave it out.")
    users = _ids(user_ids, matrix.shape[0], "row")
    items = _ids(item_ids, matrix.shape[1], "column")
    log = pl.DataFrame({"user_id": users[found.row], "item_id": items[found.col]})
    if min_rating is not None:
        log = log.filter(pl.Series(found.data >= min_rating))
    if log.is_empty():
        least = "other than zero" if min_rating is None else f"of {min_rating:g} or more"
        raise NegGenError(f"The matrix has no entry {least}; give at least one interaction.")
    return log, items.to_frame("item_id")


def _ids(given: Sequence[Any] | None, count: int, what: str) -> pl.Series:
    ids = pl.Series(np.arange(count) if given is None else given)
    if len(ids) != count:
        raise NegGenError(
            f"There are {len(ids):,} ids for {count:,} {what}s of the matrix; give one a {what}."
        )
    if (repeated := ids.is_duplicated()).any():
        raise NegGenError(
            f"The id {ids.filter(repeated)[0]!r} stands for two {what}s of the matrix; keep one."
        )
    return ids


def frames_of(data: Dataset, library: str = "polars") -> tuple[Any, Any]:
    """Return the interactions and the items of a data set; see ``Dataset.to_frames``."""
    log = pl.DataFrame({"user_id": data.user_ids[data.users], "item_id": data.item_ids[data.items]})
    if data.time is not None:
        log = log.with_columns(timestamp=pl.Series(data.time))
    if data.given_parts is not None:
        parts = pl.Series(PARTS, dtype=pl.Enum(PARTS)).gather(pl.Series(data.given_parts))
        log = log.with_columns(part=parts)
    frames = log, data.item_table.drop("image_sha256")
    if library == "polars":
        return frames
    try:
        return frames[0].to_pandas(), frames[1].to_pandas()
    except ImportError as error:
        raise NegGenError(f"pandas is not installed ({error}): pip install pandas") from None
