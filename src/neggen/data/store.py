"""Data sets in workspaces: written once on import, read by every later stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.indexing import positions
from neggen.data.placing import copy_pictures, imported_alone, put_in_place
from neggen.data.stored_files import (
    file_name,
    read_arrays,
    read_parquet,
    readable,
    write_arrays,
    write_parquet,
)
from neggen.data.tables import PARTS, with_parts
from neggen.data.vectors import Features, ItemGraph
from neggen.errors import NegGenError
from neggen.workspace import UNFINISHED, Workspace, read_toml, write_text, write_toml

STAGED = ".imported"
"""The folder in a workspace that new data are written to, before they replace the old."""


def save_dataset(
    workspace: Workspace,
    data: Dataset,
    *,
    source: str,
    overwrite: bool = False,
    left_out: Sequence[str] = (),
) -> bool:
    """Write an imported data set into a workspace.

    All is written to a folder of its own and then put in place, the manifest last: whatever goes
    wrong while it is written, the earlier data stay. What is killed while it is put in place leaves
    no workspace that could be opened, only a mark that the files are no stranger's, so that the
    next import goes on. Pictures are copied: whatever becomes of the source, the workspace keeps
    what was imported.

    Args:
        workspace: the folder, which need not exist.
        data: what to write; its split, records and vectors are not part of it.
        source: where the data came from, for the manifest.
        overwrite: replace the data of another import, or write the same anew, which mends damaged
            files. Generated answers and runs stay.
        left_out: names of the columns that were left out, for the manifest.

    Returns:
        Whether anything was written: False if the workspace holds the same content already.

    Raises:
        NegGenError: If the folder holds other data and ``overwrite`` is not set, or a picture is
            no longer the one that was read.
    """
    mark = workspace.path / UNFINISHED
    if workspace.manifest_path.exists():
        if not overwrite:
            if workspace.manifest().get("content_hash") == data.content_hash:
                if mark.exists():
                    mark.unlink()
                return False
            raise _holds_other_data(workspace)
    elif not overwrite:
        _refuse_strangers(workspace)
    for name in (*data.test_sets, *data.features, *data.graphs):
        file_name(name)  # before anything is written
    with imported_alone(workspace):
        if not workspace.manifest_path.exists():
            write_text(mark, source)
        staged = Workspace(workspace.path / STAGED)
        shutil.rmtree(staged.path, ignore_errors=True)  # of an import that was killed
        try:
            copy_pictures(data, workspace.image_dir, staged.image_dir)
            _write_tables(staged, data)
            _write_manifest(staged, data, source, left_out)
        except BaseException:
            shutil.rmtree(staged.path, ignore_errors=True)
            raise
        write_text(mark, source)
        put_in_place(workspace, staged, data)
        shutil.rmtree(staged.path, ignore_errors=True)
        mark.unlink()
    return True


def _write_manifest(
    workspace: Workspace, data: Dataset, source: str, left_out: Sequence[str]
) -> None:
    users, items = data.shape
    workspace.write_manifest(
        source=source,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        content_hash=data.content_hash,
        left_out=list(left_out) or None,
        notes=list(data.notes),
        counts={
            "users": users,
            "items": items,
            "interactions": len(data.users),
            "pictures": int(data.item_table["image"].count()),
        },
    )


def _write_tables(workspace: Workspace, data: Dataset) -> None:
    write_parquet(data.item_table, workspace.items_path)
    write_parquet(pl.DataFrame({"user_id": data.user_ids}), workspace.users_path)
    write_parquet(_interactions(data), workspace.interactions_path)
    for name, pairs in data.test_sets.items():
        table = _pairs_table(data, pairs[:, 0], pairs[:, 1])
        write_parquet(table, workspace.test_sets_dir / f"{file_name(name)}.parquet")
    for name, given in data.features.items():
        write_arrays(workspace.features_dir, name, vars(given))
    for name, graph in data.graphs.items():
        write_arrays(workspace.graphs_dir, name, vars(graph))


def check_before_downloads(workspace: Workspace, read: Callable[[], Dataset]) -> None:
    """Refuse what :func:`save_dataset` would refuse after the pictures were downloaded.

    Args:
        workspace: the folder, which need not exist; it is not to be overwritten.
        read: reads the source without downloading anything.

    Raises:
        NegGenError: If the folder holds other data or the same without pictures, or is
            somebody else's.
    """
    if not workspace.manifest_path.exists():
        _refuse_strangers(workspace)
        return
    held = load_dataset(workspace)
    if _without_pictures(held).content_hash != _without_pictures(read()).content_hash:
        raise _holds_other_data(workspace)
    if not held.item_table["image"].count():
        raise NegGenError(
            f"{workspace.path} already holds these data without pictures; import with --overwrite "
            f"to replace them by the same with pictures."
        )


def is_labeled(workspace: Workspace) -> bool:
    """Return whether the interactions came with labels that say what trains and what tests."""
    with readable(workspace.interactions_path):
        return "part" in pl.read_parquet_schema(workspace.interactions_path)


def load_items(workspace: Workspace) -> Dataset:
    """Read the items of a workspace with their texts and pictures, as if nobody had used them.

    Raises:
        NegGenError: If the table is missing or damaged.
    """
    item_table = read_parquet(workspace.items_path)
    nobody = np.empty(0, dtype=np.int32)
    return Dataset(
        user_ids=pl.Series("user_id", [], dtype=pl.String),
        item_ids=item_table["item_id"],
        users=nobody,
        items=nobody,
        item_table=item_table,
        image_dir=workspace.image_dir,
    )


def load_dataset(workspace: Workspace, split: SplitConfig | None = None) -> Dataset:
    """Read the data set of a workspace.

    Args:
        workspace: an imported workspace.
        split: also divide the interactions. A split is drawn once and kept in the workspace, so
            that every later run sees the same one.

    Raises:
        NegGenError: If a file is missing or damaged, or the split cannot be drawn.
    """
    catalogue = load_items(workspace)
    user_ids = read_parquet(workspace.users_path)["user_id"]
    log_path = workspace.interactions_path
    users, items = _pairs(log_path, user_ids, catalogue.item_ids)
    others = sorted({"time", "part"} & set(pl.read_parquet_schema(log_path)))
    log = with_parts(read_parquet(log_path, others), str(log_path))
    data = catalogue.replace(
        user_ids=user_ids,
        users=users,
        items=items,
        time=log["time"].to_numpy() if "time" in log.columns else None,
        given_parts=log["part"].to_numpy() if "part" in log.columns else None,
        features={
            name: Features(*arrays)
            for name, arrays in read_arrays(workspace.features_dir, "values", "mask")
        },
        graphs={
            name: ItemGraph(*arrays)
            for name, arrays in read_arrays(workspace.graphs_dir, "neighbors", "cosines")
        },
        test_sets={
            path.stem: np.stack(_pairs(path, user_ids, catalogue.item_ids), axis=1)
            for path in sorted(workspace.test_sets_dir.glob("*.parquet"))
        },
        notes=tuple(workspace.manifest("notes")["notes"]),
    )
    return data if split is None else _with_split(workspace, data, split)


def _refuse_strangers(workspace: Workspace) -> None:
    if (workspace.path / UNFINISHED).exists():
        return
    for path in (workspace.items_path, workspace.interactions_path, workspace.image_dir):
        if path.exists():
            raise NegGenError(
                f"{path} exists, yet {workspace.path} is not a workspace but somebody else's "
                f"folder; choose a new one, or import with --overwrite to replace it."
            )


def _holds_other_data(workspace: Workspace) -> NegGenError:
    return NegGenError(
        f"{workspace.path} already holds other data (imported from "
        f"{workspace.manifest().get('source')}); choose a new folder, or import with "
        f"--overwrite to replace them."
    )


def _without_pictures(data: Dataset) -> Dataset:
    return data.replace(item_table=data.item_table.drop("image", "image_sha256"))


def _with_split(workspace: Workspace, data: Dataset, config: SplitConfig) -> Dataset:
    """Return ``data`` with the kept split, drawn anew if it was of other settings or content."""
    table_path = workspace.splits_dir / f"{config.name}.parquet"
    settings_path = table_path.with_suffix(".toml")
    settings = {"content_hash": data.content_hash, **config.model_dump()}
    if settings_path.exists() and read_toml(settings_path) == settings:
        labels = with_parts(read_parquet(table_path), str(table_path))["part"]
        if len(labels) != len(data.users):
            raise NegGenError(
                f"{table_path} has {len(labels):,} rows for {len(data.users):,} interactions; "
                f"delete it to draw the split anew."
            )
        return data.replace(parts=labels.to_numpy(), split_config=config)
    data = data.split(config)
    settings_path.unlink(missing_ok=True)  # so that settings never stand beside another's table
    assert data.parts is not None
    write_parquet(pl.DataFrame({"part": _labels(data.parts)}), table_path)
    write_toml(settings_path, settings)
    return data


def _interactions(data: Dataset) -> pl.DataFrame:
    table = _pairs_table(data, data.users, data.items)
    if data.time is not None:
        table = table.with_columns(time=pl.Series(data.time))
    if data.given_parts is not None:
        table = table.with_columns(part=_labels(data.given_parts))
    return table


def _pairs_table(data: Dataset, users: NDArray[np.int32], items: NDArray[np.int32]) -> pl.DataFrame:
    return pl.DataFrame({"user_id": data.user_ids[users], "item_id": data.item_ids[items]})


def _pairs(path: Path, user_ids: pl.Series, item_ids: pl.Series) -> list[NDArray[np.int32]]:
    """Return the internal users and the internal items of a table, each int32 ``[rows]``."""
    columns = []
    for name, vocabulary in (("user_id", user_ids), ("item_id", item_ids)):
        # One column of text at a time: it takes several times the memory of what is made of it.
        ids = read_parquet(path, [name])[name]
        found = positions(ids, vocabulary)
        if (found < 0).any():
            unknown = ids[int(np.argmin(found))]
            raise NegGenError(
                f"{path} has {name} {unknown!r}, which its table in the workspace lacks; import "
                f"the source again with --overwrite."
            )
        columns.append(found)
    return columns


def _labels(parts: NDArray[np.uint8]) -> pl.Series:
    return pl.Series(PARTS, dtype=pl.Enum(PARTS)).gather(pl.Series(parts))
