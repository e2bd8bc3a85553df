"""The data set: external ids outside, dense indices and sparse matrices inside."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neggen.config import EVERYTHING, SplitConfig
from neggen.data.attributes import text_columns_of, text_of, title_of
from neggen.data.fingerprint import data_hash
from neggen.data.frames import columns_of, frames_of, matrix_frames
from neggen.data.indexing import core, incidence
from neggen.data.indexing import index_of as index_of
from neggen.data.selection import selected
from neggen.data.split import draw_split, places
from neggen.data.tables import PARTS
from neggen.data.vectors import Features, ItemGraph, ItemVectors
from neggen.errors import NegGenError, nearest


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A catalogue, who used what, and whatever was made from them so far.

    Build one with :meth:`from_frames` or read one with :func:`neggen.data.store.load_dataset`.

    Attributes:
        user_ids: external ids; position is the internal index. ``[users]``
        item_ids: external ids in the order of ``item_table``. ``[items]``
        users, items: internal user and item of each interaction, int32 ``[interactions]``.
        item_table: one row an item: ``item_id``, ``image`` (relative path, or null if it cannot be
            read), ``image_sha256`` and the attributes.
        time: when (or in which order) each interaction happened, ``[interactions]``, or None.
        given_parts: the source's own split as positions in ``PARTS``, ``[interactions]``, or None.
        parts: the split in force as positions in ``PARTS``, ``[interactions]``, or None.
        split_config: the settings that drew ``parts``.
        image_dir: the folder that ``image`` paths are relative to.
        features, graphs: given feature vectors and graphs of like items, by modality.
        test_sets: further sets of (user, item) pairs to test on by name, ``[pairs, 2]`` int32.
        notes: what was repaired or masked on the way in, one sentence each.
        records, vectors: generated texts (``neggen.generation.records``) and their encodings.
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
        features: Mapping[str, Any] | None = None,
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
            image_dir: folder of the pictures; those it lacks are masked and named in ``notes``.
            user_column: name of the user column.
            item_column: name of the item column, in both tables.
            image_column: name of the column of picture paths.
            features: vectors by modality, such as ``{"image": array}``, each ``[items, d]`` in the
                order of ``items``; rows that are zero or not finite count as missing.
            drop_unknown: drop interactions with items that ``items`` lacks instead of refusing.
            names: what error messages call the two tables, such as their file names.

        Raises:
            NegGenError: For a missing column, an empty table, null, NaN or repeated ids, an unknown
                item, a picture path that leaves ``image_dir``, or features that do not fit.
        """
        return cls(
            **columns_of(
                interactions,
                items,
                None if image_dir is None else Path(image_dir),
                (user_column, item_column, image_column),
                names,
                features or {},
                drop_unknown=drop_unknown,
            )
        )

    @classmethod
    def from_matrix(
        cls,
        matrix: Any,
        user_ids: Sequence[Any] | None = None,
        item_ids: Sequence[Any] | None = None,
        items: Any | None = None,
        image_dir: str | Path | None = None,
        *,
        min_rating: float | None = None,
    ) -> Dataset:
        """Build a data set from a sparse matrix whose entries other than zero are interactions.

        Args:
            matrix: SciPy sparse matrix or array ``[users, items]``; what its values are is not
                kept. Users without an entry are left out, items are not.
            user_ids: text or whole numbers, one a row; by default their numbers from 0.
            item_ids: the same, one a column.
            items: table with the column ``item_id``, see :meth:`from_frames`.
            image_dir: folder of the pictures.
            min_rating: the lowest value that counts as an interaction.

        Raises:
            NegGenError: For anything but a matrix of numbers, ids that do not fit it, or a value
                that is not finite; and see :meth:`from_frames`.
        """
        log, ids = matrix_frames(matrix, user_ids, item_ids, min_rating)
        return cls.from_frames(log, ids if items is None else items, image_dir)

    def replace(self, **changes: Any) -> Dataset:
        """Return a copy with some attributes replaced."""
        return dataclasses.replace(self, **changes)

    def split(self, kind: str | SplitConfig = "random", **settings: Any) -> Dataset:
        """Return a copy whose interactions are divided into train, valid and test.

        Args:
            kind: a kind of split, or all settings of one.
            settings: those of :class:`~neggen.config.SplitConfig`, such as ``seed``.

        Raises:
            NegGenError: If a setting is wrong, or the data lack what the kind of split needs.
        """
        config = SplitConfig.build({"kind": kind}) if isinstance(kind, str) else kind
        config = config.updated(**settings)
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
        return selected(self, keep)

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
        return selected(self, places(self.users, chance)[0] < n)

    def __repr__(self) -> str:
        """Return its size in a line."""
        users, items = self.shape
        made = [name for name in ("records", "vectors") if getattr(self, name) is not None]
        split = [] if self.split_config is None else [f"split {self.split_config.name}"]
        counts = [f"{users:,} users", f"{items:,} items", f"{len(self.users):,} interactions"]
        return f"Dataset({', '.join([*counts, *split, *made])})"

    @property
    def shape(self) -> tuple[int, int]:
        """``(users, items)``."""
        return len(self.user_ids), len(self.item_ids)

    def to_frames(self, library: Literal["polars", "pandas"] = "polars") -> tuple[Any, Any]:
        """Return tables of the interactions and of the items, as :meth:`from_frames` takes them.

        With ``image_dir``, that gives an equal data set, if users stand in the order in which they
        first occur, as after every import but one with ``k_core`` or ``at_most``.

        Raises:
            NegGenError: If pandas is wanted and not installed.
        """
        return frames_of(self, library)

    def matrix(self, name: str) -> csr_matrix:
        """Return a part or a named test set as a 0/1 CSR matrix ``[users, items]``, float32.

        A test set is without what is in the log too, which is taken out of its rankings.

        Raises:
            NegGenError: If there is no such part, or the data set was not split yet.
        """
        known = [*PARTS, *self.test_sets]
        if name not in known:
            hint = nearest(name, known)
            raise NegGenError(f"There is no part '{name}'; parts are {', '.join(known)}.{hint}")
        if name not in PARTS:
            pairs = self.test_sets[name]
            asked = incidence(pairs[:, 0], pairs[:, 1], self.shape)
            return asked - asked.multiply(self.everything)
        if self.parts is None:
            raise NegGenError("The data set is not split; call data.split() first.")
        rows = self.parts == PARTS.index(name)
        return incidence(self.users[rows], self.items[rows], self.shape)

    @property
    def holds_out(self) -> bool:
        """Whether the split in force leaves something to validate and test on."""
        return self.split_config is None or self.split_config.kind != EVERYTHING

    def known_before(self, part: str) -> csr_matrix:
        """Return what is taken out of the ranking when ``part`` is measured, 0/1 CSR.

        Each user's training items (not the validation items, as in the MMRec protocol); for a
        further test set, everything in the log.
        """
        return self.everything if part in self.test_sets and part not in PARTS else self.train

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
        return data_hash(self)

    @cached_property
    def split_hash(self) -> str:
        """A SHA-256 over the part of every interaction; empty without a split."""
        return "" if self.parts is None else hashlib.sha256(self.parts.tobytes()).hexdigest()
