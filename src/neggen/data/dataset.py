"""The data set: external ids outside, dense indices and sparse matrices inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neggen.config import SplitConfig
from neggen.data.attributes import plain_attributes, text_columns_of, text_of, title_of
from neggen.data.fingerprint import content_hash
from neggen.data.images import check_images
from neggen.data.indexing import core, incidence, moved, positions
from neggen.data.indexing import index_of as index_of
from neggen.data.split import draw_split, places
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
from neggen.data.vectors import Features, ItemGraph, ItemVectors
from neggen.errors import NegGenError, nearest


@dataclass(frozen=True, eq=False)
class Dataset:
    """A catalogue, who used what, and whatever was made from them so far.

    Build one with :meth:`from_frames` or read one with :func:`neggen.data.store.load_dataset`.

    Attributes:
        user_ids: external ids; position is the internal index. ``[users]``
        item_ids: external ids in the order of ``item_table``. ``[items]``
        users: internal user of each interaction, int32 ``[interactions]``.
        items: internal item of each interaction, int32 ``[interactions]``.
        item_table: one row an item: ``item_id``, ``image`` (relative path, or null if it cannot be
            read), ``image_sha256`` (digest of the picture file), and the attributes.
        time: when (or in which order) each interaction happened, ``[interactions]``, or None.
        given_parts: the source's own split as positions in ``PARTS``, ``[interactions]``, or None.
        parts: the split in force as positions in ``PARTS``, ``[interactions]``, or None.
        split_config: the settings that drew ``parts``.
        image_dir: the folder that ``image`` paths are relative to.
        features, graphs: given feature vectors and graphs of like items, by modality.
        test_sets: further sets of (user, item) pairs to test on by name, ``[pairs, 2]`` int32.
        notes: what was repaired or masked on the way in, one sentence each.
        records: descriptions and negatives (``neggen.generation.records``), if generated.
        vectors: their encodings, if encoded.
    """

    user_ids: pl.Series
    item_ids: pl.Series
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    item_table: pl.DataFrame
    time: NDArray[Any] | None = None
    given_parts: NDArray[np.uint8] | None = None
    parts: NDArray[np.uint8] | None = None
    split_config: SplitConfig | None = None
    image_dir: Path | None = None
    features: Mapping[str, Features] = field(default_factory=dict)
    graphs: Mapping[str, ItemGraph] = field(default_factory=dict)
    test_sets: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    records: pl.DataFrame | None = None
    vectors: ItemVectors | None = None

    # -- building ---------------------------------------------------------------------------

    @classmethod
    def from_frames(
        cls,
        interactions: Any | None,
        items: Any | None = None,
        image_dir: str | Path | None = None,
        *,
        user_column: str = "user_id",
        item_column: str = "item_id",
        image_column: str = "image",
        drop_unknown: bool = False,
        names: tuple[str, str] = ("The interactions", "The items"),
    ) -> Dataset:
        """Build a data set from a table of interactions and a table of items.

        Args:
            interactions: polars or pandas frame or Arrow table with a user and an item column and
                optionally ``timestamp`` (or ``time``, ``position``) and ``part`` (train, valid or
                test). The first row of each user and item counts. None if nobody has used the
                items yet.
            items: table with the same item column, optionally ``image``; every other column is an
                attribute. Without it, the items are those of the interactions.
            image_dir: folder of the pictures. Pictures that are missing or unreadable are masked
                and named in ``notes``.
            user_column: name of the user column.
            item_column: name of the item column, in both tables.
            image_column: name of the column of picture paths.
            drop_unknown: drop interactions with items that ``items`` lacks instead of refusing.
            names: what error messages call the two tables, such as their file names.

        Raises:
            NegGenError: For a missing column, an empty table, null, NaN or repeated ids, an unknown
                item, or a picture path that leaves ``image_dir``.
        """
        log_name, items_name = names
        log = as_log(interactions, log_name, user_column, item_column)
        notes: list[str] = []
        if items is None:
            table = log.select("item_id").unique(maintain_order=True)
        else:
            table = take_column(as_polars(items, items_name), items_name, item_column, "item_id")
            refuse_repeated_items(table, items_name)
            table = plain_attributes(table, inside(items_name), notes)
        log = with_parts(with_time(log, log_name), log_name)
        notes.extend(unused_columns(log, log_name))
        log = without_unknown_items(log, table, log_name, drop=drop_unknown, notes=notes)
        log = without_repeats(log, notes)
        folder = Path(image_dir) if image_dir is not None else None
        table = check_images(table, image_column, folder, notes)

        user_ids = log["user_id"].unique(maintain_order=True)
        return cls(
            user_ids=user_ids,
            item_ids=table["item_id"],
            users=positions(log["user_id"], user_ids),
            items=positions(log["item_id"], table["item_id"]),
            item_table=table,
            time=log["time"].to_numpy() if "time" in log.columns else None,
            given_parts=log["part"].to_numpy() if "part" in log.columns else None,
            image_dir=folder,
            notes=tuple(notes),
        )

    def replace(self, **changes: Any) -> Dataset:
        """Return a copy with some attributes replaced."""
        return dataclasses.replace(self, **changes)

    def split(self, kind: str | SplitConfig = "random", *, seed: int = 0) -> Dataset:
        """Return a copy whose interactions are divided into train, valid and test.

        Raises:
            NegGenError: If there is no interaction, or the kind needs what the data lack.
        """
        config = (
            kind
            if isinstance(kind, SplitConfig)
            else SplitConfig.build({"kind": kind, "seed": seed})
        )
        parts = draw_split(self.users, self.items, self.time, self.given_parts, config)
        return self.replace(parts=parts, split_config=config)

    def k_core(self, k: int) -> Dataset:
        """Return a copy in which every user and every item has at least ``k`` interactions.

        Raises:
            NegGenError: If nothing is left.
        """
        keep = core(self.users, self.items, k)
        if not keep.any():
            raise NegGenError(f"No interaction is left in the {k}-core; use a smaller k.")
        return self._select(keep)

    def at_most(self, n: int, seed: int = 0) -> Dataset:
        """Return a copy that keeps ``n`` random interactions of every user who has more.

        Raises:
            NegGenError: If ``n`` is under 1 or there is no interaction.
        """
        if n < 1 or not len(self.users):
            raise NegGenError(
                f"No interaction is left of {len(self.users):,} with at most {n} a user; "
                f"keep 1 or more of some."
            )
        chance = np.random.default_rng(seed).random(len(self.users))
        return self._select(places(self.users, chance)[0] < n)

    def _select(self, keep: NDArray[np.bool_]) -> Dataset:
        """Keep some interactions, and only the users and items that still occur."""
        users, new_users = np.unique(self.users[keep], return_inverse=True)
        items, new_items = np.unique(self.items[keep], return_inverse=True)
        user_moves = moved(users, len(self.user_ids))
        item_moves = moved(items, len(self.item_ids))
        test_sets = {}
        for name, pairs in self.test_sets.items():
            new = np.stack([user_moves[pairs[:, 0]], item_moves[pairs[:, 1]]], axis=1)
            test_sets[name] = new[(new >= 0).all(axis=1)]
        return self.replace(
            user_ids=self.user_ids[users],
            item_ids=self.item_ids[items],
            users=new_users.astype(np.int32),
            items=new_items.astype(np.int32),
            item_table=self.item_table[items],
            time=None if self.time is None else self.time[keep],
            given_parts=None if self.given_parts is None else self.given_parts[keep],
            parts=None,
            split_config=None,
            features={name: given.select(items) for name, given in self.features.items()},
            graphs={name: given.select(items, item_moves) for name, given in self.graphs.items()},
            test_sets=test_sets,
            records=None,
            vectors=None,
        )

    # -- reading ----------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """``(users, items)``."""
        return len(self.user_ids), len(self.item_ids)

    def matrix(self, name: str) -> csr_matrix:
        """Return a part or a named test set as a 0/1 CSR matrix ``[users, items]``, float32.

        Raises:
            NegGenError: If there is no such part, or the data set was not split yet.
        """
        if name in self.test_sets:
            pairs = self.test_sets[name]
            return incidence(pairs[:, 0], pairs[:, 1], self.shape)
        if name not in PARTS:
            raise NegGenError(
                f"There is no part '{name}'; parts are {', '.join([*PARTS, *self.test_sets])}."
                f"{nearest(name, [*PARTS, *self.test_sets])}"
            )
        if self.parts is None:
            raise NegGenError("The data set is not split; call data.split() first.")
        rows = self.parts == PARTS.index(name)
        return incidence(self.users[rows], self.items[rows], self.shape)

    @cached_property
    def train(self) -> csr_matrix:
        """The training interactions, 0/1 CSR ``[users, items]``."""
        return self.matrix("train")

    @cached_property
    def valid(self) -> csr_matrix:
        """The validation interactions, 0/1 CSR ``[users, items]``."""
        return self.matrix("valid")

    @cached_property
    def test(self) -> csr_matrix:
        """The test interactions, 0/1 CSR ``[users, items]``."""
        return self.matrix("test")

    @cached_property
    def everything(self) -> csr_matrix:
        """All interactions whatever their part, 0/1 CSR ``[users, items]``."""
        return incidence(self.users, self.items, self.shape)

    @cached_property
    def text_columns(self) -> tuple[str, ...]:
        """The attribute columns that make up an item's text."""
        return text_columns_of(self.item_table)

    def item_text(self, index: int) -> str | None:
        """Return the attributes of an item as ``name: value`` lines, or None if it has none."""
        return text_of(self.item_table, self.text_columns, index)

    def item_title(self, index: int) -> str:
        """Return what to call an item: its title or name, else its first text, else its id."""
        title = title_of(self.item_table, self.text_columns, index)
        return str(self.item_ids[index]) if title is None else title

    def image_path(self, index: int) -> Path | None:
        """Return the picture of an item, or None if it has none that can be read."""
        name = self.item_table["image"][index]
        return self.image_dir / name if self.image_dir is not None and name is not None else None

    @cached_property
    def content_hash(self) -> str:
        """A SHA-256 over all that was imported: ids, interactions, attributes, picture bytes.

        The split in force, the folder of the pictures and everything generated are not part of it.
        """
        arrays: dict[str, NDArray[Any]] = {"users": self.users, "items": self.items}
        if self.time is not None:
            arrays["time"] = self.time
        if self.given_parts is not None:
            arrays["part"] = self.given_parts
        for kind in (self.features, self.graphs):
            for modality, given in sorted(kind.items()):
                arrays |= {f"{modality} {part}": array for part, array in vars(given).items()}
        for name, pairs in sorted(self.test_sets.items()):
            arrays[f"test set {name}"] = pairs.astype(np.int32, copy=False)
        users = pl.DataFrame({"user_id": self.user_ids})
        return content_hash({"items": self.item_table, "users": users}, arrays)
