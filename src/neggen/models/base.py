"""What every recommender does: fit, score, recommend, save, load. No exceptions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import ModelConfig
from neggen.data.dataset import Dataset, index_of
from neggen.errors import NegGenError
from neggen.evaluation.ranking import users_at_once
from neggen.training.checkpoint import load_tensors, save_tensors
from neggen.training.loop import EpochLog, OnEpoch
from neggen.workspace import read_toml, write_toml

OnPhaseEpoch = Callable[[str, EpochLog], None]
"""Called with the name of a phase of training and the log of one of its epochs."""


@dataclass
class FitContext:
    """Where a fit keeps its checkpoints and whom it tells about progress.

    Attributes:
        checkpoint_dir: folder for checkpoints; None keeps nothing and cannot resume.
        on_epoch: called after every epoch with the phase's name and its log.
    """

    checkpoint_dir: Path | None = None
    on_epoch: OnPhaseEpoch | None = None

    def checkpoint(self, phase: str) -> Path | None:
        """The checkpoint file of a phase of training."""
        return self.checkpoint_dir / f"{phase}.safetensors" if self.checkpoint_dir else None

    def reporter(self, phase: str) -> OnEpoch | None:
        """The callback for the epochs of a phase."""
        return None if self.on_epoch is None else partial(self.on_epoch, phase)


class Recommender(ABC):
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
    """Whether its seed decides anything."""

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        """Take a configuration, or single settings such as ``seed=1``.

        Raises:
            NegGenError: For an unknown setting, a value out of range, or a device there is not.
        """
        base = config if config is not None else self.config_class()
        self.config = base.updated(**settings) if settings else base
        _check_device(self.config.device)
        self.user_ids: pl.Series | None = None
        self.item_ids: pl.Series | None = None
        self.history: dict[str, list[EpochLog]] = {}

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
        self.user_ids, self.item_ids = data.user_ids, data.item_ids
        self.history = {}
        self._seen = data.everything
        self.__dict__.pop("_user_index", None)
        self._fit(data, context or FitContext())
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

        None if the score is no such product.
        """
        return None

    def item_factors(self) -> Tensor:
        """Return what behaviour alone says of the items, ``[items, d]``.

        Raises:
            NegGenError: If the model has no such vectors.
        """
        raise NegGenError(f"A {self.name} model has no vectors of items.")

    def recommend(
        self, users: Sequence[str], k: int = 20, *, exclude_seen: bool = True
    ) -> pl.DataFrame:
        """Return the best items for some users, best first.

        Args:
            users: external user ids.
            k: how many items each; fewer where a user has seen almost everything.
            exclude_seen: leave out what the user is known to have used, in any part of the data.

        Returns:
            A frame with ``user_id``, ``rank`` (from 1), ``item_id`` and ``score``.

        Raises:
            NegGenError: If a user is unknown or ``k`` is under 1.
        """
        if k < 1:
            raise NegGenError(f"k = {k} is not allowed: ask for at least one item.")
        items = self._fitted_items()
        index = self._users(users)
        size = users_at_once(len(items))
        frames = []
        for start in range(0, max(1, len(index)), size):
            chunk = index[start : start + size]
            scores = self.score_index(torch.from_numpy(chunk)).float()  # [chunk, items]
            if exclude_seen:
                # Not in place: a model may hand out its own tensor.
                scores = scores.index_put(self._seen_by(chunk), scores.new_tensor(-torch.inf))
            frames.append(best_items(self.user_ids[chunk], items, scores, k))  # type: ignore[index]
        return pl.concat(frames).filter(pl.col("score").is_finite())

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder: ``config.toml``, ``model.safetensors``, the ids as Parquet.

        Raises:
            NegGenError: If the model was not fitted.
        """
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
            model._seen = unpack_csr("seen", tensors, len(model.item_ids))
            model._restore({name: tensor.to(device) for name, tensor in tensors.items()})
        except (KeyError, OSError, pl.exceptions.PolarsError) as error:
            raise NegGenError(
                f"The model in {folder} is incomplete or damaged ({error}); train it again."
            ) from None
        return model

    # -- what a model provides --------------------------------------------------------------

    @abstractmethod
    def _fit(self, data: Dataset, context: FitContext) -> None:
        """Learn from ``data.train``, choosing on ``data.valid``."""

    @abstractmethod
    def _score(self, users: Tensor) -> Tensor:
        """Score all items for internal users, int64 ``[batch]`` to float ``[batch, items]``."""

    @abstractmethod
    def _tensors(self) -> dict[str, Tensor]:
        """Return everything that scoring needs, by name."""

    @abstractmethod
    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what ``_tensors`` returned."""

    # -- ids --------------------------------------------------------------------------------

    @cached_property
    def _user_index(self) -> dict[str, int]:
        assert self.user_ids is not None
        return {user: position for position, user in enumerate(self.user_ids)}

    def _users(self, users: Sequence[str]) -> NDArray[np.int64]:
        self._fitted_items()
        return index_of(users, self._user_index, "user")

    def _seen_by(self, users: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return (position in ``users``, item) of everything these users have used."""
        seen = self._seen[users].tocoo()
        device = self.config.device
        return (
            torch.from_numpy(seen.row.astype(np.int64)).to(device),
            torch.from_numpy(seen.col.astype(np.int64)).to(device),
        )

    def _fitted_items(self) -> pl.Series:
        if self.item_ids is None:
            raise NegGenError(f"This {self.name} model is not fitted; call fit(data) first.")
        return self.item_ids


def best_items(users: pl.Series, items: pl.Series, scores: Tensor, k: int) -> pl.DataFrame:
    """Return each user's ``k`` best items as :meth:`Recommender.recommend` does.

    Args:
        users: external ids, ``[users]``.
        items: external ids, ``[items]``.
        scores: float ``[users, items]``.
        k: how many items each; fewer where there are not as many.
    """
    top = scores.topk(min(k, len(items)), dim=1)  # [users, k]
    best, rank = top.indices.cpu().numpy(), np.arange(1, top.indices.shape[1] + 1)
    return pl.DataFrame(
        {
            "user_id": users[np.repeat(np.arange(len(users)), len(rank))],
            "rank": np.tile(rank, len(users)),
            "item_id": items[best.ravel()],
            "score": top.values.cpu().numpy().ravel(),
        }
    )


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise NegGenError(f"The device '{device}' cannot be used here ({reason}).") from None


def pack_csr(name: str, matrix: csr_matrix) -> dict[str, Tensor]:
    """Return the pattern of a 0/1 CSR matrix as two tensors."""
    return {
        f"{name}/indptr": torch.from_numpy(matrix.indptr.astype(np.int64)),
        f"{name}/indices": torch.from_numpy(matrix.indices.astype(np.int32)),
    }


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors named ``prefix/…``, without that part of their names."""
    start = f"{prefix}/"
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def unpack_csr(name: str, tensors: Mapping[str, Tensor], columns: int) -> csr_matrix:
    """Rebuild the 0/1 float32 CSR matrix that :func:`pack_csr` took apart."""
    indptr, indices = (tensors[f"{name}/{part}"].cpu().numpy() for part in ("indptr", "indices"))
    ones = np.ones(len(indices), dtype=np.float32)
    return csr_matrix((ones, indices, indptr), shape=(len(indptr) - 1, columns))
