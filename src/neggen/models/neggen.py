"""NegGen: a base recommender, completed by the causal effect of generated key features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import ModelConfig, NegGenConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.errors import NegGenError, first_line
from neggen.models import model_class
from neggen.models.balance import Balance
from neggen.models.base import FitContext, Recommender
from neggen.models.causal import EffectNetwork
from neggen.models.described import described
from neggen.models.described_items import Described
from neggen.models.factors import FactorModel, GradientModel
from neggen.models.history import History
from neggen.models.neggen_module import NegGenModule, check_width
from neggen.negatives.false_negatives import false_negatives, typical, without
from neggen.training.checkpoint import under

OWN_TENSORS = (
    "effect_weight", "user_tastes", "effects", "false_negatives", "typical_negative",
)  # fmt: skip


class NegGen(GradientModel, Described):
    """NegGen on any recommender that has vectors of items (arXiv 2501.15183).

    Phase 1 trains the base recommender, phase 2 generates and encodes descriptions and negatives,
    phase 3 learns from their difference. Data that have no records yet get those of the
    model-free catalogue generator, so that ``NegGen().fit(data)`` works on any catalogue; for a
    language model's, attach ``records`` and ``vectors`` to the data first.

    Attributes:
        base: a fitted recommender to start from. If it is given, phase 1 is skipped, and the
            settings say what was given.
        backbone: the fitted recommender it stands on, after fitting.
        user_tastes: λ p_u, ``[users, d]``.
        effects: c_i, ``[items, d]``.
        false_negatives: which negatives were left out, bool ``[items, completions, modalities]``.
        typical_negative: what stood for them, encoded, ``[modalities, width]``.
    """

    name = "neggen"
    config_class = NegGenConfig
    config: NegGenConfig
    needs_vectors = True
    base: Recommender | None = None
    backbone: Recommender
    network: EffectNetwork
    effect_weight: Tensor
    user_tastes: Tensor
    effects: Tensor
    false_negatives: Tensor
    typical_negative: Tensor

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        """Take a configuration, or single settings; see :class:`Recommender`.

        Raises:
            NegGenError: If a setting of this or of the base is wrong, ``heads`` does not divide
                ``dim``, or NegGen cannot stand on the backbone.
        """
        super().__init__(config, **settings)
        if self.config.dim % self.config.heads:
            raise NegGenError(
                f"heads = {self.config.heads} does not divide dim = {self.config.dim}; choose a "
                f"dim that is a multiple of heads."
            )
        if self.backbone_class.item_factors is Recommender.item_factors:
            raise NegGenError(
                f"backbone = '{self.config.backbone}' has no vectors of items, which NegGen learns "
                f"from; take another one, such as lightgcn or ease."
            )
        width = getattr(self.base_config, "dim", None)  # this checks the base's settings, too
        if self.config.score == "embedding":
            check_width(self.config.backbone, width, self.config.dim)

    @property
    def backbone_class(self) -> type[Recommender]:
        """What NegGen stands on."""
        return model_class(self.config.backbone)

    @property
    def base_config(self) -> ModelConfig:
        """The settings of phase 1, which follow this model's seed and device."""
        follows = {"seed": self.config.seed, "device": self.config.device}
        return self.backbone_class.config_class.build({**self.config.base, **follows}, "base")

    def effects_of(self, vectors: ItemVectors) -> Tensor:
        """Return the effects of described items; see :class:`Described`."""
        with torch.no_grad():
            return self.network.of(self.known(vectors)).effects

    def as_learned(self, vectors: ItemVectors, items: NDArray[np.int64]) -> ItemVectors:
        """Return vectors without the negatives that were left out as false."""
        false = self.false_negatives.cpu().numpy()[items]
        return without(vectors, false, self.typical_negative.cpu().numpy())

    def tastes(self, users: Tensor) -> Tensor:
        """Return λ p_u of internal users, int64 ``[batch]`` to ``[batch, d]``."""
        return self.user_tastes[users.to(self.config.device)]

    def tastes_by(self, histories: csr_matrix) -> Tensor:
        """Return λ p of people by what they used, CSR ``[batch, items]`` to ``[batch, d]``."""
        if self.config.score == "embedding":
            if not isinstance(self.backbone, FactorModel):
                raise NegGenError(
                    f"The base {self.backbone.name} has no embeddings of people it was not trained "
                    f"on; take score = 'profile'."
                )
            return self.effect_weight * self.backbone.embed_histories(histories)
        return self.effect_weight * History(histories, self.config.device).mean(self.effects)

    def item_vectors(self, items: Tensor) -> Tensor:
        """Return c of some items, ``[batch, d]``."""
        return self.effects[items]

    def factors(self) -> tuple[Tensor, Tensor] | None:
        """Return [e_u; λ p_u] and [e_i; c_i], if the base has embeddings."""
        base = self.backbone.factors()
        if base is None:
            return None
        pairs = zip(base, (self.user_tastes, self.effects), strict=True)
        users, items = (torch.cat([of_base.to(own.device), own], dim=1) for of_base, own in pairs)
        return users, items

    def set_params(self, **settings: Any) -> Self:
        """Change settings; what it was given to stand on stays, unless they name another base."""
        base = self.base
        super().set_params(**settings)
        if not {"backbone", "base"} & settings.keys():
            self.base = base
        return self

    def __sklearn_clone__(self) -> Self:
        clone = super().__sklearn_clone__()
        clone.base = self.base
        return clone

    def _fit(self, data: Dataset, context: FitContext) -> None:
        if not data.holds_out and len(self.config.effect_weights) > 1:
            raise NegGenError(
                "Nothing validates on the split 'everything', so give one of effect_weights, or "
                "take that of a run with neggen refit RUN."
            )
        data, vectors = described(data, seed=self.config.seed, device=self.config.device)
        base = self.base
        if base is None:
            base = self.backbone_class(self.base_config).fit(data, context)
            self.history |= base.history
        else:
            _check_base(base, data)
            settings = base.config.identity()
            self.config = self.config.updated(backbone=base.name, base=settings)
        false = np.zeros((len(vectors.mask), *vectors.negative.shape[1:3]), dtype=np.bool_)
        if self.config.filter_false_negatives:
            false = false_negatives(data.train, vectors)
        self.false_negatives = torch.from_numpy(false)
        self.typical_negative = torch.from_numpy(typical(vectors, false))
        if false.any():  # else they stay where they are, which may be a file
            everything = np.arange(len(vectors.mask))
            data = data.replace(vectors=self.as_learned(vectors, everything))
        module = NegGenModule(data, base, self.config)
        self._train(module, data, context, depends_on=module.content_hash)
        self.backbone, self.network, self.effect_weight = base, module.causal, module.effect_weight
        self.balance = self.network.balance
        with torch.no_grad():
            tastes, found = module.learned()
            self.user_tastes = self.effect_weight * tastes
        self.effects = found.effects

    def _score(self, users: Tensor) -> Tensor:
        base = self.backbone.score_index(users).to(users.device)  # [batch, items]
        return base + self.user_tastes[users] @ self.effects.T

    def _score_histories(self, histories: csr_matrix) -> Tensor:
        base = self.backbone.score_histories(histories).to(self.effects.device)  # [batch, items]
        return base + self.tastes_by(histories) @ self.effects.T

    def _tensors(self) -> dict[str, Tensor]:
        parts = {
            "base": self.backbone._tensors(),
            "balance": self.network.balance.tensors(),
            "network": self.network.state_dict(),
        }
        inside = {f"{part}/{name}": t for part, own in parts.items() for name, t in own.items()}
        return {name: getattr(self, name) for name in OWN_TENSORS} | inside

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name in OWN_TENSORS:
            setattr(self, name, tensors[name])
        self.backbone = self.backbone_class(self.base_config)
        self.backbone.user_ids, self.backbone.item_ids = self.user_ids, self.item_ids
        self.backbone._seen = self._seen
        self.backbone._restore(under("base", tensors))
        self.balance = Balance.restored(under("balance", tensors))
        self.network = EffectNetwork(
            self.balance,
            dim=self.config.dim,
            heads=self.config.heads,
            contrast=self.config.contrast,
        ).to(self.config.device)
        try:
            self.network.load_state_dict(under("network", tensors))
        except RuntimeError as error:  # other names or shapes than the settings make
            raise ValueError(first_line(error)) from None


def _check_base(base: Recommender, data: Dataset) -> None:
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
    if base.split_hash not in (None, data.split_hash):
        raise NegGenError(
            "The base recommender was fitted on another split, so it has learned from what NegGen "
            "would be measured on; fit both on the same split data."
        )
