"""Phase 3 of NegGen: what is learned on top of a base recommender."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neggen.config import NegGenConfig
from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.evaluation.ranking import Scorer
from neggen.models.balance import with_catalog
from neggen.models.base import Recommender
from neggen.models.causal import CausalModule, Effects
from neggen.models.history import History
from neggen.negatives.base import Batch
from neggen.negatives.lookup import look_up
from neggen.seeding import seeded
from neggen.training.losses import counterfactual, info_nce, separation
from neggen.training.trainable import Measure, Trainable, dot_scorer

LOG_SCALE = 3.0
"""Of s, to begin with: effects and profiles are no longer than 1, so that without a scale of about
20 the loss could hardly tell a large margin from none."""
ALIGNED = 512
"""Rows of a batch that L_align looks at, since its cost is quadratic in them."""
SPREAD_USERS = 4096
"""Users whose scores tell how far scores spread, at most."""
SPREAD_SCORES = 1 << 24
"""Their scores, at most: 64 MB."""
KEPT_SCORES = 1 << 26
"""Base scores kept from one candidate for λ to the next: 64M floats, 256 MB."""


class NegGenModule(Trainable):
    """Phase 3: learns the causal effects c_i while the base recommender stays as it is.

    A user's causal profile is what the items of their history have in common::

        p_u  = mean of c_j over the training items j of u
        ŷ_ui = base_ui + λ p_u · c_i

    In training, the item to be predicted is left out of the profile, and a sample of the history
    stands for all of it. With the sampled real negative j of a pair (u, i)::

        L       = L_bpr + β L_cf + α L_align + γ L_sep
        L_bpr   = −log σ(s (p_u · c_i − p_u · c_j))
        L_cf    = −log σ(s (p_u · c_i − p_u · n_i))       the changed item should lose
        L_align = InfoNCE(anchor A e_i, positive c_i, negatives n_i and in-batch c_j, cosine / τ)
        L_sep   = |cos(c_i, g(s_i))|                      the effect should not follow the context

    where s is a learned scale, A a learned map, and e_i the base's vectors of items. λ is chosen on
    validation from a list that contains 0, the base alone, so the result never validates worse than
    the base. Candidates for λ are in units of the spread of base scores over that of causal scores.

    With ``score="embedding"``, the base's e_u stands in the place of p_u, as published, and
    candidates for λ are taken as they are. The profile is the default since it starts in the space
    of the texts, where it is a good content model untrained; e_u and c_i first have to meet.
    """

    effect_weight: Tensor

    def __init__(self, data: Dataset, base: Recommender, config: NegGenConfig) -> None:
        """Prepare phase 3 on a fitted base and described data.

        Raises:
            NegGenError: If the base lacks the vectors of items or users that this needs.
        """
        super().__init__()
        assert data.vectors is not None
        device = config.device
        self.config = config
        self.base_scores: Scorer = lambda users: base.score_index(users).to(device)
        self.content_hash = _hash(data.vectors.content_hash, base)
        self.rankings = len(config.effect_weights)
        text = config.use_text and data.vectors.text is not None
        self.causal = CausalModule(
            with_catalog(data.vectors) if text else data.vectors,
            dim=config.dim,
            heads=config.heads,
            contrast=config.contrast,
            seed=config.seed,
        )
        base_items = base.item_factors()
        with seeded(config.seed):
            self.align = nn.Linear(base_items.shape[1], config.dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(LOG_SCALE))
        self.register_buffer("effect_weight", torch.tensor(0.0))
        self.to(device)
        self.base_items = base_items.to(device)
        self.base_users: Tensor | None = None
        if config.score == "embedding":
            factors = base.factors()
            check_width(base.name, None if factors is None else factors[0].shape[1], config.dim)
            self.base_users = None if factors is None else factors[0].to(device)
        self.history = History(data.train, device)
        self.all_items = torch.arange(data.shape[1], device=device)
        self.some_users = some_users(*data.shape, device)
        self.base_spread = spread(self.base_scores(self.some_users))

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return L_bpr + β L_cf + α L_align + γ L_sep of a batch."""
        ranked = torch.cat([batch.positives[:, None], batch.negatives], dim=1)  # [batch, 1 + k]
        used = None
        if self.base_users is None:
            used = self.history.sample(batch.users, generator)  # [batch, sample]
        wanted = ranked if used is None else torch.cat([ranked, used], dim=1)
        effects, counterfactuals, contexts = self._of(wanted, generator)
        positives, negatives = effects[:, 0], effects[:, 1 : ranked.shape[1]]  # [batch, …, d]
        users = self._users(batch, used, effects[:, ranked.shape[1] :])  # [batch, d]

        margin = torch.einsum("bd,bkd->bk", users, positives[:, None] - negatives)  # [batch, k]
        loss = F.softplus(-margin).mean()
        if self.config.beta:
            loss = loss + self.config.beta * counterfactual(users, positives, counterfactuals)
        if self.config.alpha:
            few = slice(0, ALIGNED)  # every row is contrasted with every other
            items = batch.positives[few]
            anchors = self.align(self.base_items[items])  # [few, d]
            loss = loss + self.config.alpha * info_nce(
                anchors, positives[few], counterfactuals[few], self.config.tau, items
            )
        if self.config.gamma:
            loss = loss + self.config.gamma * separation(positives, contexts)
        return loss

    def _users(self, batch: Batch, used: Tensor | None, effects: Tensor) -> Tensor:
        """Return s p_u, or s e_u, of a batch, ``[batch, d]``.

        Args:
            batch: the step.
            used: items of the users' histories, ``[batch, sample]``; the positive does not count.
            effects: c of these items, ``[batch, sample, d]``.
        """
        if used is None:
            assert self.base_users is not None  # or else there is a history
            users = self.base_users[batch.users]
        else:
            others = used != batch.positives[:, None]  # [batch, sample]
            weights = others / others.sum(1, keepdim=True).clamp(min=1)
            users = (effects * weights[..., None]).sum(1)
        return users * self.log_scale.exp()

    def _of(self, wanted: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return effects of the wanted items, counterfactuals and contexts of the first column.

        Shapes: ``[batch, n]`` to ``[batch, n, d]``, ``[batch, completions, d]``, ``[batch, d]``.
        Where the batch asks for more items than the catalogue has, each item is computed once.
        """
        shared = wanted.numel() > len(self.all_items)
        items = self.all_items if shared else wanted.flatten()
        keep = None
        if self.config.modality_dropout:
            shape = (len(items), self.causal.mask.shape[1])
            chance = torch.rand(shape, generator=generator, device=items.device)
            keep = chance >= self.config.modality_dropout
        found: Effects = self.causal(items, keep)
        effects, counterfactuals, contexts = found
        if shared:
            first = wanted[:, 0]
            changed = look_up(counterfactuals, first)
            return look_up(effects, wanted), changed, look_up(contexts, first)
        shaped = [each.view(*wanted.shape, *each.shape[1:]) for each in found]
        return shaped[0], shaped[1][:, 0], shaped[2][:, 0]

    def learned(self) -> tuple[Tensor, Effects]:
        """Return p_u (or e_u), not times λ yet, ``[users, d]``, and what is said of all items."""
        found: Effects = self.causal(self.all_items)
        if self.base_users is None:
            return self.history.mean(found.effects), found
        return self.base_users, found

    def scorer(self) -> Scorer:
        """Return the scorer of ŷ under the chosen λ."""
        tastes, found = self.learned()
        return _sum(self.base_scores, dot_scorer(self.effect_weight * tastes, found.effects))

    def validate(self, measure: Measure) -> dict[str, float]:
        """Measure every candidate for λ and keep the best one."""
        tastes, found = self.learned()
        unit = self._unit(tastes, found)
        base = _Kept(self.base_scores)
        best: dict[str, float] = {}
        for candidate in self.config.effect_weights:
            weight = candidate * unit
            figures = measure(_sum(base, dot_scorer(weight * tastes, found.effects)))
            if not best or figures[self.config.metric] > best[self.config.metric]:
                best = figures
                self.effect_weight.copy_(weight)
        return best

    def settle(self) -> None:
        """Take the first candidate for λ, which is the only one where nothing validates."""
        self.effect_weight.copy_(self.config.effect_weights[0] * self._unit(*self.learned()))

    def _unit(self, tastes: Tensor, found: Effects) -> Tensor:
        """Return what a λ of 1 is: how far base scores spread over how far causal ones do."""
        if self.base_users is not None:
            return torch.ones_like(self.base_spread)
        return self.base_spread / spread(tastes[self.some_users] @ found.effects.T)


class _Kept:
    """The scores of a scorer that is asked about the same users again, while there is room."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._kept: dict[bytes, Tensor] = {}
        self._room = KEPT_SCORES

    def __call__(self, users: Tensor) -> Tensor:
        key = users.cpu().numpy().tobytes()
        if key in self._kept:
            return self._kept[key]
        scores = self._scorer(users)  # [batch, items]
        if scores.numel() <= self._room:
            self._kept[key] = scores
            self._room -= scores.numel()
        return scores


def _sum(one: Scorer, other: Scorer) -> Scorer:
    return lambda users: one(users) + other(users)


def some_users(users: int, items: int, device: str) -> Tensor:
    """Return internal users whose scores tell how far scores spread, int64."""
    count = min(users, SPREAD_USERS, max(1, SPREAD_SCORES // items))
    return torch.linspace(0, users - 1, count, device=device).long()


def spread(scores: Tensor) -> Tensor:
    """Return the root mean square deviation of scores ``[users, items]`` from a user's mean."""
    return scores.var(1, correction=0).mean().clamp(min=1e-12).sqrt()


def check_width(name: str, width: int | None, dim: int) -> None:
    """Check that ``score="embedding"`` can multiply the base's embeddings with effects.

    Raises:
        NegGenError: If the base called ``name`` has no embeddings, or of another width.
    """
    if width != dim:
        theirs = f"those of {name} are {width} wide" if width else f"{name} has none"
        raise NegGenError(
            f"score = 'embedding' needs a base with embeddings as wide as the effects, dim = "
            f"{dim}, but {theirs}; set dim and base.dim alike, or take score = 'profile'."
        )


def _hash(vectors_hash: str, base: Recommender) -> str:
    """Identify what phase 3 starts from: the vectors and the fitted base.

    A base that was fitted in this process is known by its settings and its split: on a GPU, fitting
    it again gives weights that differ in their last bits. (Two that only differ in vectors of their
    own are taken for the same.)
    """
    digest = hashlib.sha256(f"{vectors_hash} {base.name}".encode())
    if base.split_hash is not None:
        digest.update(f"{base.config.identity()} {base.split_hash}".encode())
        return digest.hexdigest()
    for name, tensor in sorted(base._tensors().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
