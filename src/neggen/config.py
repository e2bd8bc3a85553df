"""Every setting of neggen as frozen pydantic models, read from and written to TOML.

Nothing here imports torch, so a configuration can be read, checked and printed in milliseconds.
What a single model alone can be told stands in its own file. An unknown key is an error that names
the nearest known one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    ValidationError,
    model_validator,
)

from neggen.errors import NegGenError, nearest
from neggen.overrides import named


class Config(BaseModel):
    """Base of all configurations: immutable, strict about names, checked on construction."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @classmethod
    def build(cls, values: Mapping[str, Any], *within: str) -> Self:
        """Build from plain values, such as a TOML table; ``within`` names where they stand.

        Raises:
            NegGenError: For an unknown key (with the nearest known one) or a value out of range.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join((*within, *(str(part) for part in first["loc"])))
            if first["type"] == "extra_forbidden":
                hint = nearest(str(first["loc"][-1]), cls.model_fields) or (
                    f" Known keys: {', '.join(cls.model_fields)}."
                )
                raise NegGenError(f"'{key}' is not a setting of {cls.__name__}.{hint}") from None
            where = key if within else f"{cls.__name__}.{key}"
            hint = ""
            if first["type"] == "literal_error":
                hint = nearest(str(first["input"]), re.findall("'(.*?)'", first["msg"]))
            raise NegGenError(
                f"{where} = {first['input']!r} is not allowed: {first['msg']}.{hint}"
            ) from None

    def updated(self, **changes: Any) -> Self:
        """Return a copy with ``changes`` applied and everything checked again."""
        return self.build({**self.model_dump(exclude_unset=True), **changes})


_INCIDENTAL: Any = {
    **dict.fromkeys(("device", "checkpoint_seconds", "keep_checkpoints"), True),
    "base": {"device", "checkpoint_seconds", "keep_checkpoints"},
}


MeasuredSplit = Literal["random", "leave-last", "time", "cold-items", "popularity-shifted", "given"]
"""A kind of split that holds something out to measure models by."""
SplitKind = Literal[MeasuredSplit, "everything"]
DRAWN_SPLITS: tuple[MeasuredSplit, ...] = ("random", "cold-items", "popularity-shifted")
"""The kinds of split that another seed draws anew."""
SHARED_SPLITS: tuple[MeasuredSplit, ...] = ("time", "cold-items", "popularity-shifted")
"""The kinds of split whose shares can be set."""
EVERYTHING: Literal["everything"] = "everything"
"""The split of what is trained for use: nothing is held out."""


Validated = Literal[
    "recall@10", "ndcg@10", "precision@10", "map@10", "mrr@10", "hit@10",
    "recall@20", "ndcg@20", "precision@20", "map@20", "mrr@20", "hit@20",
]  # fmt: skip
"""The figures that weights can be chosen by."""


class SplitConfig(Config):
    """How interactions are divided into training, validation and test parts."""

    kind: SplitKind = "random"
    """``random``: per user, by the rule of the MMRec toolbox. ``leave-last``: each user's last item
    tests, the one before validates. ``time``: global quantiles of time. ``cold-items``: whole
    items are held out. ``popularity-shifted``: the test draws items almost regardless of how
    popular they are, training and validation as they come. ``given``: the labels that came with the
    source. ``everything``: all interactions train; see :mod:`neggen.refitting`."""
    seed: int = Field(0, ge=0)
    valid_share: float = Field(0.1, gt=0, lt=0.5)
    """Share held out for validation; for ``time``, ``cold-items`` and ``popularity-shifted``."""
    test_share: float = Field(0.1, gt=0, lt=0.5)
    """Share held out for the test; likewise."""

    @model_validator(mode="after")
    def _shares_decide(self) -> Self:
        if self.unusual_shares and self.kind not in SHARED_SPLITS:
            raise NegGenError(
                f"The split '{self.kind}' has a rule of its own for how much is held out; leave "
                f"the shares out, or take one of {', '.join(SHARED_SPLITS)}."
            )
        return self

    @property
    def name(self) -> str:
        """File name of this split inside a workspace, such as ``random-0``."""
        shares = f"-{self.valid_share:g}-{self.test_share:g}" if self.unusual_shares else ""
        seed = f"-{self.seed}" if self.kind in DRAWN_SPLITS else ""
        return f"{self.kind}{shares}{seed}"

    @property
    def unusual_shares(self) -> dict[str, float]:
        """The shares that are not the usual ones, by the name of their setting."""
        fields = type(self).model_fields
        shares = {"valid_share": self.valid_share, "test_share": self.test_share}
        return {name: share for name, share in shares.items() if share != fields[name].default}


class ModelConfig(Config):
    """Settings every model has."""

    seed: int = Field(0, ge=0, lt=2**63)
    """Seeds the initial weights, the order of batches, and the sampled negatives."""
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    """Where tensors live: ``cpu``, ``cuda`` or ``cuda:N``."""

    def identity(self) -> dict[str, Any]:
        """All settings that decide the result: all but the device and those of checkpoints."""
        return self.model_dump(mode="json", exclude=_INCIDENTAL)


class EASEConfig(ModelConfig):
    """EASE (Steck 2019, arXiv 1905.03375)."""

    regularization: float = Field(200.0, gt=0)
    """The ridge λ added to the diagonal of the Gram matrix."""


Content = Literal["text", "descriptions", "both"]


class ContentConfig(ModelConfig):
    """Settings of every model that compares items by what they are."""

    content: Content = "text"
    """What an item is: its own ``text``, its ``descriptions`` in all modalities, or ``both``."""


class ContentEASEConfig(EASEConfig, ContentConfig):
    """EASE with content in its Gram matrix; see :mod:`neggen.models.content_ease`."""

    content_weight: float = Field(20.0, ge=0)
    """w, how much it counts that two items are alike."""


class LinearNegGenConfig(EASEConfig):
    """EASE with the causal effect in its Gram matrix; see :mod:`neggen.models.linear_neggen`."""

    regularization: float = Field(100.0, gt=0)
    """The ridge λ added to the diagonal of the Gram matrix."""
    content_weight: float = Field(10.0, ge=0)
    """w, how much it counts that two items are alike."""
    use_text: bool = True
    """Whether the items' own texts, if encoded, stand beside the descriptions, unopposed."""
    new_item_regularization: float = Field(10.0, gt=0)
    """The ridge μ of the regression that scores items without interactions by their content."""
    contrast: float = Field(0.0, ge=0, le=1)
    """ρ in x⁺ − ρx⁻: 1 keeps only the causal effect, 0 only the description, which validates best
    so far."""


class TrainConfig(ModelConfig):
    """Settings of the training loop, shared by every model trained by gradient."""

    dim: int = Field(64, ge=1)
    """Width d of the user and item embeddings."""
    learning_rate: float = Field(1e-3, gt=0)
    batch_size: int = Field(2048, ge=1)
    """Interactions in a step."""
    epochs: int = Field(1000, ge=0)
    """Passes over the training interactions, at most; on the split ``everything``, where nothing
    says when to stop, all of them."""
    patience: int = Field(20, ge=1)
    """Evaluations without a better validation score after which training stops."""
    evaluate_every: int = Field(0, ge=0)
    """Epochs between validations; 0 takes as many as make 50 steps (patience in epochs would end
    the training on small data, a handful of steps each, on its first plateau). If a validation
    takes longer than these, 0 makes fewer, each of which counts for those left out."""
    metric: Validated = "ndcg@20"
    """The validation figure that chooses the weights that are kept."""
    checkpoint_seconds: float = Field(15.0, ge=0)
    """Least time between two checkpoints; an interrupted run resumes from the last one."""
    keep_checkpoints: int = Field(1, ge=1)
    """How many of the newest are kept; with 2, a damaged one does not cost the training."""


Named = Annotated[dict[str, Any], BeforeValidator(named)]
"""One of several by its name, with its own settings: ``{name = "dns", candidates = 16}``, or the
name alone."""


class SampledConfig(TrainConfig):
    """Settings of a model that learns from sampled negatives."""

    sampler: Named = Field({"name": "uniform"})
    """What draws the negatives, with its settings; see :data:`neggen.negatives.SAMPLERS`."""


class RankingConfig(SampledConfig):
    """Settings of a model that learns to rank positives above negatives by their scores."""

    loss: Named = Field({"name": "bpr"})
    """What compares the scores; see :data:`neggen.training.ranking_losses.LOSSES`."""
    similarity: Literal["dot", "cosine"] = "dot"
    """What ranks: the dot product of two embeddings, or their cosine. The softmax losses train
    cosines whatever ranks; the authors of BSL rank matrix factorization by ``cosine``."""


class MFConfig(RankingConfig):
    """Matrix factorization with BPR (Rendle et al. 2009, arXiv 1205.2618)."""

    regularization: float = Field(3e-2, ge=0)
    """λ of ½λ(‖e_u‖² + ‖e_p‖² + ‖e_n‖²), each a mean over its rows of the batch; negatives that
    are other rows' positives count once."""


class LightGCNConfig(RankingConfig):
    """LightGCN (He et al. 2020, arXiv 2002.02126)."""

    layers: int = Field(3, ge=1)
    """Propagation steps over the user-item graph."""
    regularization: float = Field(1e-2, ge=0)
    """λ of ½λ(‖e_u‖² + ‖e_p‖² + ‖e_n‖²) on the layer-0 embeddings, each a mean over its rows of
    the batch; negatives that are other rows' positives count once."""


class NegGenConfig(SampledConfig):
    """NegGen (arXiv 2501.15183) on a base recommender; see :mod:`neggen.models.neggen`."""

    backbone: str = "lightgcn"
    """Phase 1, the base recommender: any model that has vectors of items, such as ``ease``."""
    base: dict[str, Any] = Field(default_factory=dict)
    """The base recommender's own settings. Its ``seed`` and ``device`` follow this model's."""
    score: Literal["profile", "embedding"] = "profile"
    """Whose taste the causal score asks: ``profile`` is p_u, the mean effect of what the user used;
    ``embedding`` is the base's e_u, as published."""
    use_text: bool = True
    """Whether the items' own texts, if encoded, stand beside the descriptions, unopposed."""
    heads: int = Field(8, ge=1)
    """Attention heads over the modality axis; must divide ``dim``."""
    contrast: float = Field(0.25, ge=0, le=1)
    """ρ in v = h⁺ − ρh⁻: 1 keeps only the causal effect, 0 only the description."""
    effect_weights: tuple[NonNegativeFloat, ...] = Field(
        (0.0, 0.25, 0.5, 1.0, 2.0, 4.0), min_length=1
    )
    """Candidates for λ, the share of the causal score, relative to the spread of the base score
    (as they are, if ``score`` is ``embedding``). Validation picks one; 0 is the base alone."""
    filter_false_negatives: bool = True
    """Whether negatives that describe what the item's own users like are left out; see
    :mod:`neggen.negatives.false_negatives`."""
    alpha: float = Field(0.01, ge=0)
    """Weight of the alignment loss L_align."""
    beta: float = Field(0.0, ge=0)
    """Weight of the counterfactual loss L_cf; off, since it moved no validation figure."""
    gamma: float = Field(0.0, ge=0)
    """Weight of the separation penalty, that effects should not follow from the context."""
    tau: float = Field(0.2, gt=0)
    """Temperature of L_align."""
    modality_dropout: float = Field(0.1, ge=0, lt=1)
    """Chance that a modality of an item is left out of a training step."""
    patience: int = Field(10, ge=1)
    """Evaluations without a better validation score after which training stops."""

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Return what is public of the published settings; as in ``recipes/neggen-paper.toml``.

        The causal score is trained by itself, beside a base that stays as it is, and added with
        λ = 0.4 to rank; published is training by the sum of both.
        """
        effect = {"score": "embedding", "contrast": 1.0, "effect_weights": [0.4], "heads": 8}
        losses = {"alpha": 0.01, "beta": 0.1, "tau": 0.2, "modality_dropout": 0.0}
        plain = {"use_text": False, "filter_false_negatives": False, "base": {"layers": 3}}
        return cls.build({**effect, **losses, **plain, **changes})
