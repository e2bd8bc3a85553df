"""Recommenders that can score what they have never seen, from its description."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from neggen.data.vectors import ItemVectors


class Described(ABC):
    """A recommender part of whose score follows from descriptions alone.

    For anything described, be it a new item or an item with other words, that part of the score of
    every user is ``tastes(users) @ effects_of(vectors).T``.
    """

    @abstractmethod
    def effects_of(self, vectors: ItemVectors) -> Tensor:
        """Return the effects of described items, float ``[items, d]``.

        Args:
            vectors: encoded as those of the training catalogue, for which this gives the effects
                the model was fitted with.

        Raises:
            NegGenError: If the vectors have other modalities, or another width.
        """

    @abstractmethod
    def tastes(self, users: Tensor) -> Tensor:
        """Return what internal users look for, int64 ``[batch]`` to float ``[batch, d]``."""
