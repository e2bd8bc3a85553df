"""How a model scores, as a formula that other programs can compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.errors import NegGenError
from neggen.models.base import Recommender
from neggen.models.content_knn import ContentKNN
from neggen.models.ease import EASE
from neggen.models.history import History
from neggen.models.item_knn import ItemKNN
from neggen.models.neggen import NegGen
from neggen.models.popularity import Popularity

CHECKED_USERS = 256
"""Users whose best items an export is checked on."""
CHECKED_K = 20
TOLERANCE = 1e-5
"""How far, relative to a user's scores, two programs' sums of the same products may differ."""


@dataclass(frozen=True)
class Scoring:
    """The scores ŷ_u = p_u Qᵀ + x_u B of a model, of which one summand may be missing.

    Attributes:
        users: p, float32 ``[users, d]``.
        items: q, float32 ``[items, d]``.
        weights: B, float32 ``[items, items]``.
        history: x, what every user used in training, 0/1 CSR ``[users, items]``.
    """

    users: NDArray[np.float32] | None = None
    items: NDArray[np.float32] | None = None
    weights: NDArray[np.float32] | None = None
    history: csr_matrix | None = None


def scoring_of(model: Recommender) -> Scoring:
    """Return how a fitted model scores.

    Raises:
        NegGenError: If it scores in another way.
    """
    user_ids, _ = ids_of(model)
    factors = model.factors()
    if factors is not None:
        return _product(*factors)
    if isinstance(model, EASE):
        return Scoring(weights=model.weights.cpu().numpy(), history=model.train)
    if isinstance(model, ItemKNN):
        return Scoring(weights=model.similarity.toarray(), history=model.train)
    if isinstance(model, NegGen):
        base, own = scoring_of(model.backbone), _product(model.user_tastes, model.effects)
        return replace(own, weights=base.weights, history=base.history)
    if isinstance(model, ContentKNN):
        profiles = History(model.train, model.config.device).mean(model.content)
        return _product(profiles, model.content)
    if isinstance(model, Popularity):
        return _product(torch.ones(len(user_ids), 1), model.counts[:, None])
    raise NegGenError(
        f"A {model.name} model scores neither by vectors nor by a matrix of items, so that only "
        f"neggen can compute it; export it with --format hub."
    )


def ids_of(model: Recommender) -> tuple[pl.Series, pl.Series]:
    """Return the external ids of users and items.

    Raises:
        NegGenError: If the model is not fitted.
    """
    items = model._fitted_items()
    assert model.user_ids is not None  # it is fitted
    return model.user_ids, items


def vectors_of(model: Recommender) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return user ``[users, d]`` and item vectors ``[items, d]`` whose products are the scores.

    Raises:
        NegGenError: If the score is no such product.
    """
    scoring = scoring_of(model)
    if scoring.users is None or scoring.items is None or scoring.weights is not None:
        raise NegGenError(
            f"This {model.name} model scores by a matrix of items, not by vectors of users and "
            f"items; export it with --format onnx or hub."
        )
    return scoring.users, scoring.items


def checked_users(model: Recommender) -> NDArray[np.int64]:
    """Return the internal users to check an export on, evenly spread, ``[checked]``."""
    count = len(ids_of(model)[0])
    return np.unique(np.linspace(0, count - 1, CHECKED_USERS).astype(np.int64))


def check_against(
    model: Recommender, what: str, best: Callable[[NDArray[np.int64], int], NDArray[np.int64]]
) -> int:
    """Check that another program finds the same best unseen items as the model itself.

    Items that the model scores alike may change places.

    Args:
        model: the fitted model.
        what: the program, for the message.
        best: gives the positions of the ``k`` best items that each internal user has not used,
            ``[batch, k]``, −1 where there are fewer.

    Returns:
        How many users were checked.

    Raises:
        NegGenError: If it finds others.
    """
    users = checked_users(model)
    scores = unseen_scores(model, users)  # [checked, items]
    k = min(CHECKED_K, scores.shape[1])
    ours = scores.topk(k, dim=1).values
    found = torch.from_numpy(best(users, k))  # [checked, k]
    theirs = scores.gather(1, found.clamp(min=0)).where(found >= 0, -torch.inf)
    reach = scores.abs().where(scores.isfinite(), 0.0).amax(dim=1, keepdim=True)
    close = ((ours - theirs).abs() <= TOLERANCE * reach) | (ours == theirs)
    repeated = (found.sort(dim=1).values.diff(dim=1) == 0) & (found.sort(dim=1).values[:, 1:] >= 0)
    wrong = (~close.all(dim=1) | repeated.any(dim=1)).nonzero().flatten()
    if len(wrong):
        user = ids_of(model)[0][int(users[wrong[0]])]
        raise NegGenError(
            f"{what} finds other best items than the model for {len(wrong):,} of {len(users):,} "
            f"users, first '{user}'; nothing was exported."
        )
    return len(users)


def unseen_scores(model: Recommender, users: NDArray[np.int64]) -> Tensor:
    """Return the model's own scores on the CPU, −∞ where the user has used the item."""
    scores = model.score_index(torch.from_numpy(users)).float().cpu()
    seen = torch.from_numpy(seen_mask(model, users))
    return scores.masked_fill(seen, -torch.inf)


def seen_mask(model: Recommender, users: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return what each internal user is known to have used, in any part, ``[batch, items]``."""
    mask: NDArray[np.bool_] = model._seen[users].toarray() > 0
    return mask


def _product(users: Tensor, items: Tensor) -> Scoring:
    return Scoring(users.detach().cpu().float().numpy(), items.detach().cpu().float().numpy())
