"""Recommenders that can score what they have never seen, from its description."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.data.vectors import ItemVectors
from neggen.encoding.text import TextEncoder
from neggen.models.balance import CATALOG, Balance, with_catalog
from neggen.models.base import Recommender


class Described(Recommender):
    """A recommender part of whose score follows from descriptions alone.

    For anything described, be it a new item or an item with other words, that part of the score of
    every user is ``tastes(users) @ effects_of(vectors).T``.

    Attributes:
        balance: how the vectors of the training catalogue were made comparable.
    """

    balance: Balance

    @abstractmethod
    def effects_of(self, vectors: ItemVectors) -> Tensor:
        """Return the effects of described items, float ``[items, d]``.

        Args:
            vectors: encoded as those of the training catalogue, for which, as they are
                :meth:`as_learned`, this gives the effects the model was fitted with.

        Raises:
            NegGenError: If the vectors have other modalities, or another width.
        """

    @abstractmethod
    def tastes(self, users: Tensor) -> Tensor:
        """Return what internal users look for, int64 ``[batch]`` to float ``[batch, d]``."""

    @abstractmethod
    def tastes_by(self, histories: csr_matrix) -> Tensor:
        """Return what people look for by what they used, 0/1 CSR ``[batch, items]``, likewise."""

    def as_learned(self, vectors: ItemVectors, items: NDArray[np.int64]) -> ItemVectors:
        """Return vectors of the training catalogue as the model learned from them.

        Args:
            vectors: of some items, as they were encoded.
            items: which these are, internal, ``[items]``.
        """
        return vectors

    def known(self, vectors: ItemVectors) -> ItemVectors:
        """Give vectors the modality of the items' own texts if the model knows it."""
        missing = CATALOG in self.balance.modalities and CATALOG not in vectors.modalities
        return with_catalog(vectors) if missing else vectors

    def recommend_new_items(
        self,
        items: Any,
        users: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        k: int = 20,
        *,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        diversity: float = 0.0,
        records: pl.DataFrame | None = None,
        encoder: TextEncoder | None = None,
    ) -> pl.DataFrame:
        """Return the best of the items that came after training, for every user.

        They are ranked by :meth:`effects_of` and :meth:`tastes`. An item that the model knows from
        training is left out; :meth:`recommend` ranks it.

        Args:
            items: a table with the columns of the training catalogue, or a data set with vectors.
            users: external user ids, or histories of known items by name; everybody by default.
            k: how many items each, at most.
            candidates: ids of new items; only these are ranked.
            exclude: ids of new items; these are left out.
            diversity: from 0 to 1, as for :meth:`recommend`; alike is what has like effects.
            records: descriptions and negatives of these items, as ``neggen generate`` writes them.
                Without them a model that knows the items' own texts goes by these alone.
            encoder: the one that encoded the training catalogue; the built-in one by default.

        Returns:
            A frame with ``user_id``, ``rank`` (from 1), ``item_id`` and ``score``.

        Raises:
            NegGenError: If a user or an item is unknown, a history is empty, ``k`` or ``diversity``
                is out of range, no item is new or described in a way the model knows, or the model
                learned nothing from descriptions.
        """
        from neggen.models.new_items import recommend_new_items

        return recommend_new_items(
            self,
            items,
            users,
            k,
            candidates=candidates,
            exclude=exclude,
            diversity=diversity,
            records=records,
            encoder=encoder,
        )
