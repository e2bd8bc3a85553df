"""NegGen: a base recommender, completed by the causal effect of generated key features."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import LightGCNConfig, ModelConfig, NegGenConfig
from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.models.base import FitContext
from neggen.models.causal import CausalModule
from neggen.models.described import described
from neggen.models.factors import FactorModel
from neggen.models.graph import csr_tensor
from neggen.models.lightgcn import LightGCN
from neggen.negatives.false_negatives import false_negatives, without
from neggen.training.loop import Batch, Factors, Measure, dot_scorer, seeded
from neggen.training.losses import info_nce

HISTORY_SAMPLE = 8
"""Items of a user's history that stand for all of it in a training step."""
ALIGNED = 512
"""Rows of a batch that L_align looks at, since its cost is quadratic in them."""


class NegGenModule(Factors):
    """Phase 3: learns the causal effects c_i while the base embeddings stay as they are.

    A user's causal profile is what the items of their history have in common::

        p_u  = mean of c_j over the training items j of u
        ŷ_ui = e_u · e_i + λ p_u · c_i

    In training, the item to be predicted is left out of the profile, and a sample of the history
    stands for all of it. With the sampled real negative j of a pair (u, i)::

        L       = L_bpr + β L_cf + α L_align
        L_bpr   = −log σ(s (p_u · c_i − p_u · c_j))
        L_cf    = −log σ(s (p_u · c_i − p_u · n_i))       the changed item should lose
        L_align = InfoNCE(anchor A e_i, positive c_i, negatives n_i and in-batch c_j, cosine / τ)

    where s is a learned scale and A a learned map. λ is chosen on validation from a list that
    contains 0, the base alone, so the result never validates worse than the base. Candidates for λ
    are in units of the spread of base scores over the spread of causal scores.
    """

    effect_weight: Tensor

    def __init__(self, data: Dataset, base: FactorModel, config: NegGenConfig) -> None:
        super().__init__()
        assert data.vectors is not None
        device = config.device
        self.config = config
        self.content_hash = _hash(data.vectors.content_hash, base)
        self.causal = CausalModule(
            data.vectors,
            dim=config.dim,
            heads=config.heads,
            contrast=config.contrast,
            seed=config.seed,
        )
        with seeded(config.seed):
            self.align = nn.Linear(base.item_embeddings.shape[1], config.dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(3.0))
        self.register_buffer("effect_weight", torch.tensor(0.0))
        self.to(device)
        self.base_users = base.user_embeddings.to(device)
        self.base_items = base.item_embeddings.to(device)
        self.history = _History(data.train, device)
        self.all_items = torch.arange(data.shape[1], device=device)

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return L_bpr + β L_cf + α L_align of a batch."""
        sample = self.history.sample(batch.users, generator)  # [batch, sample]
        others = sample != batch.positives[:, None]
        wanted = torch.cat([batch.positives[:, None], batch.negatives[:, None], sample], dim=1)
        effects, counterfactuals = self._of(wanted, generator)
        positives, negatives, used = torch.split(effects, [1, 1, HISTORY_SAMPLE], dim=1)
        positives, negatives = positives.squeeze(1), negatives.squeeze(1)  # [batch, d]
        weights = others / others.sum(1, keepdim=True).clamp(min=1)  # [batch, sample]
        profiles = (used * weights[..., None]).sum(1)  # [batch, d]
        profiles = profiles * self.log_scale.exp()

        margin = (profiles * (positives - negatives)).sum(1)
        total = F.softplus(-margin).mean()
        if self.config.beta:
            contrast = positives[:, None] - counterfactuals  # [batch, completions, d]
            change = torch.einsum("bd,bkd->bk", profiles, contrast)
            total = total + self.config.beta * F.softplus(-change).mean()
        if self.config.alpha:
            few = slice(0, ALIGNED)  # every row is contrasted with every other
            items = batch.positives[few]
            anchors = self.align(self.base_items[items])  # [few, d]
            total = total + self.config.alpha * info_nce(
                anchors, positives[few], counterfactuals[few], self.config.tau, items
            )
        return total

    def _of(self, wanted: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return effects of the wanted items and counterfactuals of the first column.

        Shapes: ``[batch, n]`` to ``[batch, n, d]`` and ``[batch, completions, d]``. Where the batch
        asks for more items than the catalogue has, each item is computed once.
        """
        shared = wanted.numel() > len(self.all_items)
        items = self.all_items if shared else wanted.flatten()
        keep = None
        if self.config.modality_dropout:
            shape = (len(items), self.causal.mask.shape[1])
            chance = torch.rand(shape, generator=generator, device=items.device)
            keep = chance >= self.config.modality_dropout
        effects, counterfactuals = self.causal(items, keep)
        if shared:
            # Unlike that of indexing, the backward of F.embedding adds up in a fixed order on CPU.
            changed = F.embedding(wanted[:, 0], counterfactuals.flatten(1))
            return F.embedding(wanted, effects), changed.view(-1, *counterfactuals.shape[1:])
        effects = effects.view(*wanted.shape, -1)
        return effects, counterfactuals.view(*wanted.shape, *counterfactuals.shape[1:])[:, 0]

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return [e_u; λ p_u] and [e_i; c_i], whose dot product is ŷ, under the chosen λ."""
        return self._joined(self.effect_weight, *self._profiles_and_effects())

    def validate(self, measure: Measure) -> dict[str, float]:
        """Measure every candidate for λ and keep the best one."""
        profiles, effects = self._profiles_and_effects()
        unit = _spread(self.base_users, self.base_items) / _spread(profiles, effects)
        best: dict[str, float] = {}
        for candidate in self.config.effect_weights:
            figures = measure(dot_scorer(*self._joined(candidate * unit, profiles, effects)))
            if not best or figures[self.config.metric] > best[self.config.metric]:
                best = figures
                self.effect_weight.copy_(candidate * unit)
        return best

    def _profiles_and_effects(self) -> tuple[Tensor, Tensor]:
        effects, _ = self.causal(self.all_items)  # [items, d]
        return self.history.mean(effects), effects

    def _joined(self, weight: Tensor, profiles: Tensor, effects: Tensor) -> tuple[Tensor, Tensor]:
        users = torch.cat([self.base_users, weight * profiles], dim=1)  # [users, base d + d]
        return users, torch.cat([self.base_items, effects], dim=1)  # [items, base d + d]


class NegGen(FactorModel):
    """NegGen on LightGCN (arXiv 2501.15183).

    Phase 1 trains the base recommender, phase 2 generates and encodes descriptions and negatives,
    phase 3 learns from their difference. Data that have no records yet get those of the
    model-free catalogue generator, so that ``NegGen().fit(data)`` works on any catalogue; for a
    language model's, attach ``records`` and ``vectors`` to the data first.
    """

    name = "neggen"
    config_class = NegGenConfig
    config: NegGenConfig
    needs_vectors = True
    base: LightGCN | None = None
    """A fitted base recommender to start from; phase 1 is skipped if it is given."""

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        """Take a configuration, or single settings; see :class:`Recommender`.

        Raises:
            NegGenError: If a setting is wrong, or ``heads`` does not divide ``dim``.
        """
        super().__init__(config, **settings)
        if self.config.dim % self.config.heads:
            raise NegGenError(
                f"heads = {self.config.heads} does not divide dim = {self.config.dim}; choose a "
                f"dim that is a multiple of heads."
            )

    @property
    def base_config(self) -> LightGCNConfig:
        """The settings of phase 1, which follow this model's seed and device."""
        return self.config.base.model_copy(
            update={"seed": self.config.seed, "device": self.config.device}
        )

    def _fit(self, data: Dataset, context: FitContext) -> None:
        data, vectors = described(data, seed=self.config.seed, device=self.config.device)
        base = self.base
        if base is None:
            base = LightGCN(self.base_config).fit(data, context)
            self.history |= base.history
        else:
            _check_base(base, data)
        if self.config.filter_false_negatives:
            false = false_negatives(data.train, vectors)
            data = data.replace(vectors=without(vectors, false))
        module = NegGenModule(data, base, self.config)
        self._learn(module, data, context, depends_on=module.content_hash)


def _hash(vectors_hash: str, base: FactorModel) -> str:
    """Identify what phase 3 starts from: the vectors and the base embeddings."""
    digest = hashlib.sha256(vectors_hash.encode())
    for embeddings in (base.user_embeddings, base.item_embeddings):
        digest.update(embeddings.cpu().numpy().tobytes())
    return digest.hexdigest()


def _check_base(base: LightGCN, data: Dataset) -> None:
    if base.user_ids is None or base.item_ids is None:
        raise NegGenError("The base recommender is not fitted; call base.fit(data) first.")
    for kind, theirs, ours in (
        ("users", base.user_ids, data.user_ids),
        ("items", base.item_ids, data.item_ids),
    ):
        if not theirs.equals(ours):
            raise NegGenError(
                f"The base recommender was fitted on other data than NegGen: its {len(theirs):,} "
                f"{kind} are not the {len(ours):,} here; fit it on the same data set."
            )


class _History:
    """The training items of every user, for sampling and averaging."""

    def __init__(self, train: csr_matrix, device: str) -> None:
        degrees = np.maximum(np.diff(train.indptr), 1).astype(np.float32)
        self._items = torch.from_numpy(train.indices.astype(np.int64)).to(device)  # [interactions]
        self._start = torch.from_numpy(train.indptr[:-1].astype(np.int64)).to(device)  # [users]
        self._degrees = torch.from_numpy(degrees).to(device)  # [users]
        self._matrix = csr_tensor(train, device)  # [users, items]

    def sample(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """Draw items of the users' histories with replacement, int64 ``[batch, sample]``."""
        shape = (len(users), HISTORY_SAMPLE)
        share = torch.rand(shape, generator=generator, device=users.device)
        degrees = self._degrees[users][:, None]
        offset = (share * degrees).long().clamp_(max=degrees.long() - 1)
        return self._items[self._start[users][:, None] + offset]

    def mean(self, items: Tensor) -> Tensor:
        """Average item vectors ``[items, d]`` over each user's history, ``[users, d]``."""
        return (self._matrix @ items) / self._degrees[:, None]


def _spread(users: Tensor, items: Tensor) -> Tensor:
    """Return the root mean square, over users, of the deviation of a user's scores over items."""
    moments = users.T @ users / len(users)  # [d, d]
    covariance = torch.cov(items.T, correction=0)  # [d, d]
    return (moments * covariance).sum().clamp(min=1e-12).sqrt()
