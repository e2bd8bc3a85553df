"""Lists whose items differ: maximal marginal relevance (Carbonell and Goldstein 1998)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

POOL = 100
"""Best items that a spread list is chosen from, at least; it is ten times its length if longer."""


def spread(
    vectors: Callable[[Tensor], Tensor],
    scores: Tensor,
    places: Tensor,
    k: int,
    diversity: float,
) -> tuple[Tensor, Tensor]:
    """Choose k items of each user's best ones, one after the other, that are good and unlike.

    With a user's scores scaled to r_i from 0 to 1, the next item is the one of the largest::

        (1 − d) r_i − d · max over the items j chosen so far of cos(v_i, v_j)

    and the first one is that of the best score.

    Args:
        vectors: items, int64 ``[batch]``, to their vectors v, ``[batch, width]``.
        scores: best first, float ``[batch, pool]``; what is not finite is not chosen.
        places: which items these are, int64 ``[batch, pool]``.
        k: how many to choose.
        diversity: d, from 0 to 1.

    Returns:
        The scores and the items of the lists, each ``[batch, at most k]``; where a user has no more
        items to choose, the score is −∞.
    """
    batch, pool = places.shape
    open_ = scores.isfinite()  # [batch, pool]
    best = scores[:, :1]
    least = scores.masked_fill(~open_, torch.inf).amin(1, keepdim=True)
    relevance = (scores - least) / (best - least).clamp(min=1e-12)
    flat = F.normalize(vectors(places.flatten()), dim=1)
    units = flat.view(batch, pool, flat.shape[1])
    likeness = torch.full_like(scores, -1.0)  # to the nearest item chosen so far
    rows = torch.arange(batch, device=places.device)
    chosen, kept = [], []
    for _ in range(min(k, pool)):
        value = (1 - diversity) * relevance - diversity * likeness
        place = value.masked_fill(~open_, -torch.inf).argmax(1)  # [batch]
        chosen.append(places[rows, place])
        kept.append(torch.where(open_[rows, place], scores[rows, place], -torch.inf))
        open_[rows, place] = False
        nearness = torch.bmm(units, units[rows, place].unsqueeze(2)).squeeze(2)
        likeness = torch.maximum(likeness, nearness)
    return torch.stack(kept, dim=1), torch.stack(chosen, dim=1)
