"""How well a fitted model ranks a part of its data."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.sparse import csr_matrix

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.evaluation.ranking import KS, RankingResult, candidates_of, evaluate_ranking
from neggen.models.base import Recommender


def evaluate(
    model: Recommender, data: Dataset, part: str = "test", *, ks: Sequence[int] = KS
) -> RankingResult:
    """Rank all items for every user of a part, and measure the top of the lists.

    Each user's training items are taken out of the ranking (for a further test set, everything in
    the log); where all items of the part are new, they are ranked among themselves.

    Args:
        model: fitted on ``data``.
        data: split as it was then.
        part: ``test``, ``valid`` or the name of a further test set.
        ks: lengths of the list to measure.

    Returns:
        Figures of every user; ``metrics`` has their means, such as ``ndcg@20``.

    Raises:
        NegGenError: If there is no such part, it has no interactions, or the model was fitted on
            other users, items or another split.
    """
    items = model._fitted_items()
    assert model.user_ids is not None  # it is fitted
    if not (items.equals(data.item_ids) and model.user_ids.equals(data.user_ids)):
        raise NegGenError(
            f"This {model.name} model was fitted on other users or items than these data have; "
            f"evaluate it on the data it was fitted on."
        )
    if model.split_hash not in (None, data.split_hash):
        raise NegGenError(
            f"This {model.name} model was fitted on another split, so it has learned from "
            f"interactions that these data test; evaluate it on the split it was fitted on."
        )
    if part == "train":
        raise NegGenError(
            "The part 'train' cannot be measured, since each user's training items are taken out "
            "of the ranking; take valid, test or a further test set."
        )
    target = data.matrix(part)
    if target.nnz == 0:
        hint = "" if data.holds_out else ", since this model has learned from all of them"
        raise NegGenError(f"The part '{part}' has no interactions{hint}.")
    return rank(model, data, part, target, ks)


def rank(
    model: Recommender, data: Dataset, part: str, target: csr_matrix, ks: Sequence[int] = KS
) -> RankingResult:
    """Do what :func:`evaluate` does, for whoever knows that model and data fit.

    ``target`` is ``data.matrix(part)``, 0/1 CSR ``[users, items]``.
    """
    return evaluate_ranking(
        model.score_index,
        data.known_before(part),
        target,
        ks=ks,
        candidates=candidates_of(target, data.train),
        device=model.config.device,
    )
