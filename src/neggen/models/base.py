"""What every recommender does: fit, score, recommend, save, load. No exceptions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import ModelConfig
from neggen.data.dataset import Dataset
from neggen.data.indexing import index_of
from neggen.errors import NegGenError
from neggen.models.device import check_device
from neggen.models.fit_context import FitContext as FitContext
from neggen.models.fit_context import OnPhaseEpoch as OnPhaseEpoch
from neggen.models.parameters import Parameters
from neggen.models.ranking import recommend
from neggen.models.similar import similar_items
from neggen.models.tensors import pack_csr, unpack_csr
from neggen.training.checkpoint import load_tensors, save_tensors
from neggen.training.loop import EpochLog
from neggen.workspace import read_toml, write_toml

DAMAGE = (LookupError, TypeError, ValueError, OSError, pl.exceptions.PolarsError)
"""What reading a damaged model may raise."""


class Recommender(Parameters, ABC):
    """Base class of all recommenders.

    A model is one file with one subclass: it names its configuration class, learns in ``_fit``,
    scores in ``_score`` and hands its tensors out and in with ``_tensors`` and ``_restore``.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[ModelConfig]]
    needs_vectors: ClassVar[bool] = False
    """Whether it learns from encoded descriptions and negatives."""
    takes_features: ClassVar[bool] = False
    """Whether features or graphs of like items that came with the data do in place of those."""
    draws: ClassVar[bool] = True
    """Whether its seed decides anything once items are described."""

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        """Take a configuration, or single settings such as ``seed=1``.

        Raises:
            NegGenError: For an unknown setting, a value out of range, or a device there is not.
        """
        base = config if config is not None else self.config_class()
        self.config = base.updated(**settings) if settings else base
        check_device(self.config.device)
        self.user_ids: pl.Series | None = None
        self.item_ids: pl.Series | None = None
        self.history: dict[str, list[EpochLog]] = {}
        self.split_hash: str | None = None  # of what it was fitted on, if that was in this process

    def wants_vectors(self, data: Dataset) -> bool:
        """Return whether it learns from encoded descriptions of these data."""
        given = self.takes_features and (data.features or data.graphs)
        return self.needs_vectors and not given

    # -- the interface ----------------------------------------------------------------------

    def fit(self, data: Dataset, context: FitContext | None = None) -> Self:
        """Learn from the training part of ``data``.

        Data that are not split yet get the default random split, since the best weights are chosen
        on the validation part; the test part is never looked at.

        Raises:
            NegGenError: If the data lack something this model needs.
        """
        if data.parts is None:
            data = data.split("random", seed=self.config.seed)
        if data.train.nnz == 0:
            raise NegGenError("The training part has no interactions.")
        self.user_ids = self.item_ids = self.split_hash = None  # until it has learned these data
        self.history = {}
        self._fit(data, context or FitContext())
        self.user_ids, self.item_ids = data.user_ids, data.item_ids
        self._seen, self.split_hash = data.everything, data.split_hash
        for kept in ("_user_index", "_item_index", "_popularity"):
            vars(self).pop(kept, None)
        return self

    def score(self, users: Sequence[str]) -> pl.DataFrame:
        """Score every item for some users: one row an item, one column a user.

        Raises:
            NegGenError: If a user is unknown.
        """
        index = torch.from_numpy(self._users(users))
        scores = self.score_index(index).cpu().numpy()  # [users, items]
        columns = {str(user): row for user, row in zip(users, scores, strict=True)}
        return pl.DataFrame({"item_id": self._fitted_items(), **columns})

    def score_index(self, users: Tensor) -> Tensor:
        """Score all items for internal users, int64 ``[batch]`` to float32 ``[batch, items]``."""
        with torch.no_grad():
            return self._score(users.to(self.config.device))

    def factors(self) -> tuple[Tensor, Tensor] | None:
        """Return user ``[users, d]`` and item ``[items, d]`` vectors whose products are the scores.

        None where the model keeps no such vectors, or the score is no product.
        """
        return None

    def item_factors(self) -> Tensor:
        """Return collaborative embeddings of all items, ``[items, d]``.

        Raises:
            NegGenError: If the model has no such vectors.
        """
        raise NegGenError(f"A {self.name} model has no vectors of items.")

    def item_vectors(self, items: Tensor) -> Tensor:
        """Return vectors whose cosines tell which items are alike, ``[batch]`` to ``[batch, w]``.

        Raises:
            NegGenError: If the model has no vectors of items.
        """
        raise NegGenError(f"A {self.name} model has no vectors of items to tell which are alike.")

    def score_histories(self, histories: csr_matrix) -> Tensor:
        """Score all items for people by what they used, whether the model knows them or not.

        Args:
            histories: 0/1 float32 CSR ``[batch, items]``.

        Returns:
            float32 ``[batch, items]``. Without any history, the scores are the numbers of users of
            the items.

        Raises:
            NegGenError: If the model can score known users only.
        """
        with torch.no_grad():
            scores = self._score_histories(histories)
        if len(nothing := np.flatnonzero(np.diff(histories.indptr) == 0)):
            scores[torch.from_numpy(nothing).to(scores.device)] = self._popularity.to(scores)
        return scores

    def recommend(
        self,
        users: Sequence[str] | Mapping[str, Sequence[str]],
        k: int = 20,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        diversity: float = 0.0,
    ) -> pl.DataFrame:
        """Return the best items for some users, best first.

        Args:
            users: external ids of known users; or, for people the model does not know, a name for
                each and the external ids of the items they used. Who used nothing gets what most
                users have used, and the numbers of these users as scores.
            k: how many items each; fewer where there are not as many.
            exclude_seen: leave out what the user is known to have used, in any part of the data.
            candidates: external ids; only these items are ranked.
            exclude: external ids; these items are left out.
            diversity: from 0, the best scores, to 1, items as unlike as possible; see
                :func:`neggen.models.diversity.spread`. Scores stay what they are, and no longer
                fall from rank to rank.

        Returns:
            A frame with ``user_id``, ``rank`` (from 1), ``item_id`` and ``score``.

        Raises:
            NegGenError: If a user or item is unknown, ``k`` or ``diversity`` out of range, or the
                model cannot do what is asked.
        """
        return recommend(
            self,
            users,
            k,
            exclude_seen=exclude_seen,
            candidates=candidates,
            exclude=exclude,
            diversity=diversity,
        )

    def similar_items(
        self,
        items: Sequence[str],
        k: int = 20,
        *,
        candidates: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Return the items most like some items by the cosine of :meth:`item_vectors`, best first.

        Args:
            items: external ids.
            k: how many each; fewer where there are not as many, none for an item without a vector.
            candidates: external ids; only these items are ranked.
            exclude: external ids; these items are left out, as is the item itself.

        Returns:
            A frame with ``item_id``, ``rank`` (from 1), ``similar_item_id`` and ``score``.

        Raises:
            NegGenError: If an item is unknown, ``k`` is under 1, or the model has no vectors.
        """
        return similar_items(self, items, k, candidates=candidates, exclude=exclude)

    def save(self, folder: str | Path) -> None:
        """Write a fitted model: ``config.toml``, ``model.safetensors``, the ids as Parquet."""
        items, folder = self._fitted_items(), Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"user_id": self.user_ids}).write_parquet(folder / "users.parquet")
        pl.DataFrame({"item_id": items}).write_parquet(folder / "items.parquet")
        tensors = {**self._tensors(), **pack_csr("seen", self._seen)}
        save_tensors(folder / "model.safetensors", tensors, {"model": self.name})
        write_toml(folder / "config.toml", {"model": self.name, "settings": self.config.identity()})

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> Self:
        """Read a model that :meth:`save` wrote; it scores exactly as before.

        Raises:
            NegGenError: If the folder holds no model, another model, or a damaged one.
        """
        folder = Path(folder)
        written = read_toml(folder / "config.toml")
        if (name := written.get("model")) != cls.name:
            raise NegGenError(f"{folder} holds a {name} model, not a {cls.name} model.")
        tensors, _ = load_tensors(folder / "model.safetensors")
        try:
            model = cls(cls.config_class.build({**written["settings"], "device": device}))
            model.user_ids = pl.read_parquet(folder / "users.parquet")["user_id"]
            model.item_ids = pl.read_parquet(folder / "items.parquet")["item_id"]
            model._seen = unpack_csr("seen", tensors, len(model.item_ids), len(model.user_ids))
            model._restore({name: tensor.to(device) for name, tensor in tensors.items()})
        except DAMAGE as error:
            raise NegGenError(
                f"The model in {folder} is damaged, or of another version ({error}); train it anew "
                f"(neggen train --overwrite)."
            ) from None
        return model

    @abstractmethod
    def _fit(self, data: Dataset, context: FitContext) -> None:
        """Learn from ``data.train``, choosing on ``data.valid``."""

    @abstractmethod
    def _score(self, users: Tensor) -> Tensor:
        """Score all items for internal users, int64 ``[batch]`` to new float ``[batch, items]``."""

    def _score_histories(self, histories: csr_matrix) -> Tensor:
        """Score all items by histories, float32 CSR ``[batch, items]`` to new ones likewise."""
        raise NegGenError(f"A {self.name} model can only recommend to users it was trained on.")

    @abstractmethod
    def _tensors(self) -> dict[str, Tensor]:
        """Return everything that scoring needs, by name."""

    @abstractmethod
    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what ``_tensors`` returned."""

    @cached_property
    def _popularity(self) -> Tensor:
        """How many users are known to have used each item, ``[items]``."""
        return torch.from_numpy(np.bincount(self._seen.indices, minlength=self._seen.shape[1]))

    @cached_property
    def _user_index(self) -> dict[str, int]:
        assert self.user_ids is not None
        return {user: position for position, user in enumerate(self.user_ids)}

    @cached_property
    def _item_index(self) -> dict[str, int]:
        assert self.item_ids is not None
        return {item: position for position, item in enumerate(self.item_ids)}

    def _users(self, users: Sequence[str]) -> NDArray[np.int64]:
        self._fitted_items()
        return index_of(users, self._user_index, "user")

    def _items(self, items: Iterable[str]) -> NDArray[np.int64]:
        self._fitted_items()
        return index_of(items, self._item_index, "item")

    def _fitted_items(self) -> pl.Series:
        if self.item_ids is None:
            raise NegGenError(f"This {self.name} model is not fitted; call fit(data) first.")
        return self.item_ids
