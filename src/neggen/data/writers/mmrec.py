"""The format of the MMRec toolbox: ``NAME.inter`` with features and graphs beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.writers.base import Writer, unused_items
from neggen.errors import NegGenError


def write_mmrec(data: Dataset, folder: Path, name: str) -> list[str]:
    """Write interactions, labels, features and graphs, and tables of ids where ids are no numbers.

    Raises:
        NegGenError: If there is no interaction.
    """
    if not len(data.users):
        raise NegGenError("MMRec's files have interactions, and these data have none.")
    notes: list[str] = []
    by_row = bool(data.features or data.graphs)
    users, items = _as_they_are(data.user_ids), _as_they_are(data.item_ids)
    if items is not None and not _fits(items, data, by_row):
        items = None
    if users is None:
        users = np.arange(len(data.user_ids))
        _write_ids(data.user_ids, users, ("user_id", "userID"), folder / "u_id_mapping.csv", notes)
    if items is None:
        items = _numbers(data)
        _write_ids(data.item_ids, items, ("item_id", "itemID"), folder / "i_id_mapping.csv", notes)
    log = pl.DataFrame({"userID": users[data.users], "itemID": items[data.items]})
    if data.given_parts is not None:
        log = log.with_columns(x_label=pl.Series(data.given_parts))
    log.write_csv(folder / f"{name}.inter", separator="\t")
    order = np.argsort(items)  # rows of features are in the order of itemID
    for modality, given in data.features.items():
        np.save(folder / f"{modality}_feat.npy", given.values[order])
    for modality, graph in data.graphs.items():
        one, rank = np.nonzero(graph.neighbors[order] >= 0)
        np.savez(
            folder / f"{modality}_knn{graph.neighbors.shape[1]}.npz",
            src=one,
            dst=items[graph.neighbors[order][one, rank]],
            cosine=graph.cosines[order][one, rank],
            n_items=np.array(len(items)),
        )
    if not by_row and (unused := unused_items(data)):
        notes.append(f"{unused:,} items that nobody used are left out.")
    return notes


def _as_they_are(ids: pl.Series) -> NDArray[np.int64] | None:
    """Return ids as numbers, or None if they are no whole numbers as MMRec writes them."""
    numbers = ids.cast(pl.UInt32, strict=False)
    if numbers.has_nulls() or not numbers.cast(pl.String).equals(ids):
        return None
    return numbers.cast(pl.Int64).to_numpy()


def _fits(numbers: NDArray[np.int64], data: Dataset, by_row: bool) -> bool:
    """Return whether items would be read back in their order."""
    if not by_row:
        return bool((np.diff(numbers) > 0).all())
    return (
        np.array_equal(numbers, np.arange(len(numbers)))
        and int(data.items.max()) == len(numbers) - 1
    )


def _numbers(data: Dataset) -> NDArray[np.int64]:
    """Return a number for every item, the used ones last: the largest says how many there are."""
    used = np.bincount(data.items, minlength=data.shape[1]) > 0
    numbers = np.empty(len(used), dtype=np.int64)
    numbers[np.argsort(used, kind="stable")] = np.arange(len(used))
    return numbers


def _write_ids(
    ids: pl.Series,
    numbers: NDArray[np.int64],
    header: tuple[str, str],
    path: Path,
    notes: list[str],
) -> None:
    table = pl.DataFrame({header[0]: ids, header[1]: numbers}).sort(header[1])
    table.write_csv(path, separator="\t")
    notes.append(f"MMRec's ids are whole numbers: {path.name} says which {header[1]} is which id.")


MMREC = Writer("mmrec", frozenset({"parts", "features", "graphs", "order"}), write_mmrec)
