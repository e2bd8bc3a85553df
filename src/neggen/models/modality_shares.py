"""How much each modality decides in a fitted NegGen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.errors import NegGenError
from neggen.evaluation.ranking import candidates_of
from neggen.models.balance import Balance
from neggen.models.history import History
from neggen.models.neggen import NegGen
from neggen.training.distributed import ranking_figures


def modality_shares(model: NegGen, data: Dataset) -> dict[str, float]:
    """Return the share of every modality in the result: what validation NDCG@20 loses without it.

    Without it, every item that has the modality says there what items say on average, in its
    description and in its negatives, so that it tells no item from another. Effects, and from them
    the profiles, follow; the weights and λ stay. Several processes of a training rank together.

    Args:
        model: fitted on ``data``.
        data: with vectors and a validation part.

    Raises:
        NegGenError: If the data have no vectors, or other modalities than the model knows.
    """
    if data.vectors is None:
        raise NegGenError("The shares of modalities need data with vectors; encode them first.")
    vectors = model.known(model.as_learned(data.vectors, np.arange(data.shape[1])))
    balance = model.network.balance
    whole = _ndcg(model, data, vectors)
    return {
        name: whole - _ndcg(model, data, _without(vectors, balance, m))
        for m, name in enumerate(balance.modalities)
    }


def _without(vectors: ItemVectors, balance: Balance, m: int) -> ItemVectors:
    positive, negative = vectors.positive.copy(), vectors.negative.copy()
    positive[:, m], negative[:, :, m] = balance.positive_mean[m], balance.negative_mean[m]
    return replace(vectors, positive=positive, negative=negative)


def _ndcg(model: NegGen, data: Dataset, vectors: ItemVectors) -> float:
    device = model.config.device
    effects = model.effects_of(vectors)  # [items, d]
    tastes = model.user_tastes  # [users, d]
    if model.config.score == "profile":
        tastes = model.effect_weight * History(data.train, device).mean(effects)

    def score(users: torch.Tensor) -> torch.Tensor:
        return model.backbone.score_index(users).to(device) + tastes[users] @ effects.T

    candidates = candidates_of(data.valid, data.train)
    figures = ranking_figures(
        score,
        data.train,
        data.valid,
        ks=(20,),
        candidates=candidates,
        device=torch.device(device),
    )
    return figures["ndcg@20"]
