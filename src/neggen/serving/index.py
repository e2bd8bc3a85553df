"""The best items for a known user: by comparison with all of them, or by a search in a graph.

An exact comparison costs items × d multiplications a request. Beyond some 100,000 items a graph of
the items (HNSW, Malkov & Yashunin 2016, arXiv 1603.09320) finds nearly the same for a fraction;
how nearly is measured when it is built.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neggen.errors import NegGenError, from_extra
from neggen.models.base import Recommender
from neggen.serving.settings import ServeSettings

MEASURED_K = 20
MEASURED_USERS = 200
"""Users whose 20 best items by the graph are compared with their true ones."""
LINKS = 32
EF_BUILD = 100
EF_SEARCH = (64, 128, 256, 512, 1024)
"""Breadths of search, tried in this order until the recall is reached."""
MAX_FETCHED = 1024
"""Items asked of the graph at once; for longer lists comparing with all is no slower."""


class Found(NamedTuple):
    """Items, best first, and their scores."""

    items: NDArray[np.int64]
    scores: NDArray[np.float32]


class Index(Protocol):
    """What finds the best items for a user.

    Attributes:
        kind: ``scores``, ``exact`` or ``hnsw``.
        recall: share of the true 20 best that it finds.
    """

    kind: str
    recall: float

    def search(self, user: int, k: int, blocked: NDArray[np.int64]) -> Found:
        """Return at most ``k`` best items for an internal user, without the blocked ones."""


class ScoreIndex:
    """For models whose score is no dot product: asks the model for the scores of all items."""

    kind, recall = "scores", 1.0

    def __init__(self, model: Recommender) -> None:
        self._model = model

    def search(self, user: int, k: int, blocked: NDArray[np.int64]) -> Found:
        """See :class:`Index`."""
        scores = self._model.score_index(torch.tensor([user]))[0]  # [items]
        return _best(scores.to("cpu", torch.float32, copy=True), k, blocked)


class ExactIndex:
    """Compares a user's vector with those of all items."""

    kind, recall = "exact", 1.0

    def __init__(self, users: Tensor, items: Tensor) -> None:
        self.users = users.detach().to("cpu", torch.float32).contiguous()  # [users, d]
        self.items = items.detach().to("cpu", torch.float32).contiguous()  # [items, d]

    def search(self, user: int, k: int, blocked: NDArray[np.int64]) -> Found:
        """See :class:`Index`."""
        return _best(self.items @ self.users[user], k, blocked)


class HNSWIndex:
    """Searches a graph of the items; compares with all where the graph does not find enough."""

    kind = "hnsw"

    def __init__(self, exact: ExactIndex, least_recall: float) -> None:
        """Build the graph and search ever more broadly until the recall is reached.

        Raises:
            NegGenError: If FAISS is not installed.
        """
        with from_extra("serve", "Searching by a graph needs FAISS"):
            import faiss
        self._faiss: Any = faiss
        self._exact = exact
        self._users = exact.users.numpy()
        self._graph = faiss.IndexHNSWFlat(exact.items.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self._graph.hnsw.efConstruction = EF_BUILD
        self._graph.add(exact.items.numpy())
        for breadth in EF_SEARCH:
            self.breadth = breadth
            self.recall = _recall(exact, self)
            if self.recall >= least_recall:
                break

    def search(self, user: int, k: int, blocked: NDArray[np.int64]) -> Found:
        """See :class:`Index`."""
        wanted = k + len(blocked)
        if wanted > MAX_FETCHED:
            return self._exact.search(user, k, blocked)
        breadth = self._faiss.SearchParametersHNSW(efSearch=max(self.breadth, wanted))
        scores, items = self._graph.search(self._users[user : user + 1], wanted, params=breadth)
        kept = (items[0] >= 0) & ~np.isin(items[0], blocked)
        found = Found(items[0][kept][:k], scores[0][kept][:k])
        missing = len(found.items) < min(k, len(self._exact.items) - len(blocked))
        return self._exact.search(user, k, blocked) if missing else found


def build_index(model: Recommender, settings: ServeSettings) -> Index:
    """Return the index that suits a model.

    Raises:
        NegGenError: If a graph is demanded of a model whose score is no dot product.
    """
    factors = model.factors()
    if factors is None:
        if settings.index == "hnsw":
            raise NegGenError(
                f"A {model.name} model has no vectors of users and items, which an HNSW index "
                f"needs; leave --index at auto."
            )
        return ScoreIndex(model)
    exact = ExactIndex(*factors)
    graph = settings.index == "hnsw" or (
        settings.index == "auto" and len(exact.items) > settings.max_exact
    )
    return HNSWIndex(exact, settings.least_recall) if graph else exact


def _best(scores: Tensor, k: int, blocked: NDArray[np.int64]) -> Found:
    """Return the ``k`` best of all items by scores ``[items]``, which are overwritten."""
    scores[torch.from_numpy(blocked)] = -torch.inf
    top = scores.topk(min(k, len(scores)))
    kept = top.values.isfinite()
    return Found(top.indices[kept].numpy(), top.values[kept].numpy())


def _recall(exact: ExactIndex, graph: HNSWIndex) -> float:
    """Return the share of some users' true best items that the graph finds."""
    count = len(exact.users)
    sample = np.random.default_rng(0).choice(count, min(count, MEASURED_USERS), replace=False)
    nothing = np.empty(0, dtype=np.int64)
    shares = []
    for user in sample.tolist():
        true, found = (each.search(user, MEASURED_K, nothing).items for each in (exact, graph))
        shares.append(np.isin(true, found).mean())
    return float(np.mean(shares))
