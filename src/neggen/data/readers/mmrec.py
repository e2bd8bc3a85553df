"""The format of the MMRec toolbox: ``NAME.inter`` with features and graphs beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.features import feature_paths, open_features, table_of_features
from neggen.data.readers.base import ReadOptions, unused_note
from neggen.data.readers.files import read_delimited
from neggen.data.readers.item_graphs import graph_paths, read_graph
from neggen.data.tables import PARTS
from neggen.errors import NegGenError

NUMBERED = "The numbers from 0 to the largest itemID"


class MMRecReader:
    """Tab-separated ``userID itemID x_label`` with feature arrays whose row is the item id.

    Graphs of like items lie beside it too; see :mod:`neggen.data.readers.item_graphs`.
    """

    name = "mmrec"
    layout = "NAME.inter (tab-separated userID, itemID, x_label), *_feat.npy, *_knn*.npz"
    heeds = frozenset[str]()

    def recognizes(self, path: Path) -> bool:
        """Return whether ``path`` is an ``.inter`` file or a folder with one."""
        return path.suffix == ".inter" if path.is_file() else any(path.glob("*.inter"))

    def read(self, path: Path, options: ReadOptions) -> Dataset:
        """Read interactions, labels, features and graphs.

        With features or graphs the items are 0 to the largest id, as rows are; without, those that
        occur.

        Raises:
            NegGenError: For ids that are not whole numbers, labels other than 0, 1 and 2, or
                features or graphs that do not fit the items.
        """
        log_path = _inter_file(path)
        log = read_delimited(log_path, "\t")
        features_at = feature_paths(log_path.parent)
        item_ids = _whole_numbers(log, "itemID", log_path)
        _whole_numbers(log, "userID", log_path)
        if "x_label" in log.columns:
            log = log.drop("x_label").with_columns(part=_labels(log["x_label"], log_path))
        notes: list[str] = []
        count = int(item_ids.max()) + 1
        features = {modality: open_features(file) for modality, file in features_at.items()}
        for modality, array in features.items():  # first: a wrong id can be in the billions
            table_of_features(modality, array, count, NUMBERED)
        graphs_at = graph_paths(log_path.parent)
        graphs = {name: read_graph(file, count, notes) for name, file in graphs_at.items()}
        items = np.arange(count) if features or graphs else np.unique(item_ids)
        data = Dataset.from_frames(
            log.with_columns(itemID=pl.Series(item_ids)),
            pl.DataFrame({"itemID": items}),
            user_column="userID",
            item_column="itemID",
            features=features,
            names=(f"The interactions in {log_path}", NUMBERED),
        )
        used = [log_path, *features_at.values(), *graphs_at.values()]
        notes.extend(unused_note(log_path.parent, [file.name for file in used]))
        return data.replace(graphs=graphs, notes=(*data.notes, *notes))


def _inter_file(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob("*.inter"))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise NegGenError(f"{path} has several .inter files ({names}); name one of them.")
    return found[0]


def _whole_numbers(log: pl.DataFrame, column: str, path: Path) -> NDArray[np.int64]:
    if column not in log.columns:
        raise NegGenError(
            f"{path} has no column '{column}', only {', '.join(log.columns)}; MMRec files have "
            f"userID, itemID and x_label, separated by tabs."
        )
    if log.is_empty():
        raise NegGenError(f"{path} has a header and no rows.")
    numbers = log[column].cast(pl.UInt32, strict=False)
    wrong = numbers.is_null()
    if wrong.any():
        row = wrong.arg_max() or 0
        raise NegGenError(
            f"Row {row + 2} of {path} has {column} = {log[column][row]!r}; MMRec ids are whole "
            f"numbers from 0."
        )
    return numbers.cast(pl.Int64).to_numpy()


def _labels(codes: pl.Series, path: Path) -> pl.Series:
    labels = codes.replace_strict(["0", "1", "2"], PARTS, default=None, return_dtype=pl.String)
    wrong = labels.is_null()
    if wrong.any():
        row = wrong.arg_max() or 0
        raise NegGenError(
            f"Row {row + 2} of {path} has x_label = {codes[row]!r}; it may be 0 (train), "
            f"1 (validation) or 2 (test)."
        )
    return labels
