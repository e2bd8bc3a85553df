"""Vectors of all modalities, made comparable: centered, and of equal energy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neggen.data.vectors import ItemVectors, Reads
from neggen.errors import NegGenError

CATALOG = "catalog"
"""The modality that an item's own text is: it has a description, but no negative."""


@dataclass(frozen=True)
class Balance:
    """What centers x⁺ and x⁻ and gives every modality the same mean energy.

    x⁺ and x⁻ are each centered by their own mean over the catalogue, since what all negatives share
    (a style, say) tells nothing about taste. It is kept so that items described later are measured
    by the same rule.

    Attributes:
        modalities: names in the order of the modality axis.
        positive_mean: mean of x⁺ over the items that have the modality, ``[modalities, width]``.
        negative_mean: mean of x⁻ over these items and completions, ``[modalities, width]``.
        scale: root mean energy of the centered x⁺ − ρ · mean x⁻, ``[modalities]``.
        reads: what x⁺ and x⁻ are encodings of.
        encoder: the fingerprint of the encoder they are by; None where it is not known.
    """

    modalities: tuple[str, ...]
    positive_mean: NDArray[np.float32]
    negative_mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    reads: Reads = "descriptions"
    encoder: str | None = None

    @classmethod
    def fit(cls, vectors: ItemVectors, contrast: float) -> Self:
        """Measure encoded descriptions and negatives; ``contrast`` is ρ."""
        count, width = vectors.positive.shape[1:]
        means = np.zeros((2, count, width), dtype=np.float32)
        scale = np.ones(count, dtype=np.float32)
        for m in range(count):
            present = vectors.mask[:, m]
            if not present.any():
                continue
            positive, negative = vectors.positive[present, m], vectors.negative[present, :, m]
            means[:, m] = positive.mean(0), negative.mean((0, 1))
            difference = positive - means[0, m] - contrast * (negative - means[1, m]).mean(1)
            scale[m] = max(np.sqrt(np.square(difference).sum(1).mean()), 1e-6)
        return cls(vectors.modalities, means[0], means[1], scale, vectors.reads, vectors.encoder)

    def apply(self, vectors: ItemVectors) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Center and scale vectors; those of missing modalities become zero.

        Returns:
            x⁺ ``[items, modalities, width]`` and x⁻ ``[items, completions, modalities, width]``.

        Raises:
            NegGenError: If the vectors have other modalities, or were made otherwise.
        """
        self.check(vectors)
        width = vectors.positive.shape[2]
        if vectors.modalities != self.modalities or width != self.positive_mean.shape[1]:
            raise NegGenError(
                f"The model knows the modalities {', '.join(self.modalities)} by vectors of width "
                f"{self.positive_mean.shape[1]}, but these are {', '.join(vectors.modalities)} of "
                f"width {width}; describe and encode items as it was done for training."
            )
        scale = self.scale[:, None]
        positive = (vectors.positive - self.positive_mean) / scale
        negative = (vectors.negative - self.negative_mean) / scale
        positive[~vectors.mask] = 0
        negative.transpose(0, 2, 1, 3)[~vectors.mask] = 0
        return positive, negative

    def check(self, vectors: ItemVectors) -> None:
        """Refuse vectors of another encoder, or of something else, which would mean nothing here.

        Raises:
            NegGenError: If that is so.
        """
        if vectors.reads != self.reads:
            raise NegGenError(
                f"The model learned from encoded {self.reads}, but these vectors are of "
                f"{vectors.reads}; encode items as it was done for training."
            )
        if None not in (vectors.encoder, self.encoder) and vectors.encoder != self.encoder:
            raise NegGenError(
                "These vectors are by another text encoder than those the model learned from; "
                "encode items with that one, in Python by recommend_new_items(encoder=…)."
            )

    def tensors(self) -> dict[str, Tensor]:
        """Return everything as tensors, by name."""
        values = vars(self).items()
        words = {name: value for name, value in values if not isinstance(value, np.ndarray)}
        told = np.frombuffer(json.dumps(words).encode(), dtype=np.uint8)
        arrays = {name: value for name, value in values if isinstance(value, np.ndarray)}
        return {name: torch.tensor(array) for name, array in {**arrays, "words": told}.items()}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Take back what :meth:`tensors` returned."""
        found: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        found |= json.loads(found.pop("words").tobytes())
        return cls(**{**found, "modalities": tuple(found["modalities"])})


def with_catalog(vectors: ItemVectors) -> ItemVectors:
    """Make the items' own texts one more modality, :data:`CATALOG`, with negatives of zero.

    Items without a text lack the modality.
    """
    items, completions, _, width = vectors.negative.shape
    text = vectors.text
    if text is None:
        text = np.zeros((items, width), dtype=np.float32)
    none = np.zeros((items, completions, 1, width), dtype=np.float32)
    return replace(
        vectors,
        modalities=(*vectors.modalities, CATALOG),
        positive=np.concatenate([vectors.positive, text[:, None]], axis=1),
        negative=np.concatenate([vectors.negative, none], axis=2),
        mask=np.concatenate([vectors.mask, text.any(1, keepdims=True)], axis=1),
        text=None,
    )
