"""The causal module: from encoded descriptions and negatives to the effect of the key features."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from neggen.data.vectors import ItemVectors
from neggen.training.loop import seeded


class CausalModule(nn.Module):
    """Turns encoded descriptions x⁺ and negatives x⁻ into the causal effect c of every item.

    For each item, with its modalities m (after NegGen, arXiv 2501.15183)::

        h± = mean over present m of  z_m + SelfAttention(z)_m,    z_m = W_m x±_m
        c  = g(h⁺ − ρ h⁻)    the factual item; what was intervened on stands out, context cancels
        n  = g(h⁻ − ρ h⁺)    the counterfactual: the same item with its key features changed

    both scaled to unit length. Attention runs over the modality axis, a missing modality is masked
    out, and an item without any has c = n = 0.

    Three choices make the untrained module a good content model already, so that training
    starts from the geometry of the text encoder. x⁺ and x⁻ are centered, each by its own mean over
    the catalogue: what all negatives share (a style, say) tells nothing about taste. Every
    modality is scaled to the same mean energy, so that none drowns the other. And W_m starts at the
    leading principal directions of x⁺ − ρx⁻, attention at zero, and g at the identity.
    """

    positive: Tensor
    negative: Tensor
    mask: Tensor

    def __init__(
        self, vectors: ItemVectors, *, dim: int, heads: int, contrast: float, seed: int
    ) -> None:
        """Prepare the vectors and the layers.

        Args:
            vectors: the encoded descriptions and negatives of all items.
            dim: width d of the effect.
            heads: attention heads; must divide ``dim``.
            contrast: ρ.
            seed: seeds the attention's weights.
        """
        super().__init__()
        self.contrast = contrast
        positive, negative = balanced(vectors, contrast)
        self.register_buffer("positive", torch.from_numpy(positive), persistent=False)
        self.register_buffer("negative", torch.from_numpy(negative), persistent=False)
        self.register_buffer("mask", torch.from_numpy(vectors.mask), persistent=False)
        modalities = positive.shape[1]
        contrasted = (positive - contrast * negative.mean(1))[vectors.mask]  # [records, width]
        directions = _principal_directions(contrasted, dim)  # [dim, width]
        with seeded(seed):
            self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
            self.effect = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.attention.out_proj.weight)
        nn.init.eye_(self.effect.weight)
        self.projections = nn.Parameter(directions.repeat(modalities, 1, 1))  # W, [m, d, width]

    def forward(self, items: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the causal effects ``[batch, d]`` and counterfactuals ``[batch, completions, d]``.

        The effects are means over completions.

        Args:
            items: internal items, int64 ``[batch]``.
            keep: bool ``[batch, modalities]``; False leaves a modality of an item out.
        """
        mask = self.mask[items] if keep is None else self.mask[items] & keep
        both = torch.cat([self.positive[items].unsqueeze(1), self.negative[items]], dim=1)
        pooled = self._pool(both, mask)  # [batch, 1 + completions, d]
        factual, changed = pooled[:, :1], pooled[:, 1:]
        effects = F.normalize(self.effect(factual - self.contrast * changed).mean(1), dim=-1)
        counterfactuals = F.normalize(self.effect(changed - self.contrast * factual), dim=-1)
        return effects, counterfactuals

    def _pool(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Attend over modalities and average: ``[batch, k, modalities, width] → [batch, k, d]``."""
        batch, completions = vectors.shape[:2]
        projected = torch.stack(
            [F.linear(vectors[:, :, m], weight) for m, weight in enumerate(self.projections)], dim=2
        ).flatten(0, 1)  # [batch * k, modalities, d]
        present = mask.repeat_interleave(completions, dim=0)  # [batch * k, modalities]
        # The softmax over no modality is undefined: such a row attends, but has no weight below.
        blocked = ~present & present.any(1, keepdim=True)
        # Asking for the weights avoids the fused kernel, which is made for long sequences: over a
        # handful of modalities it takes twice the time.
        attended, _ = self.attention(projected, projected, projected, key_padding_mask=blocked)
        weights = present / present.sum(1, keepdim=True).clamp(min=1)  # [batch * k, modalities]
        pooled: Tensor = ((projected + attended) * weights[..., None]).sum(1)  # [batch * k, d]
        return pooled.view(batch, completions, -1)


def balanced(
    vectors: ItemVectors, contrast: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Center x⁺ and x⁻ over the items that have the modality, and give modalities equal energy.

    Args:
        vectors: the encoded descriptions and negatives.
        contrast: ρ; the energy is that of x⁺ − ρ · mean x⁻.

    Returns:
        x⁺ ``[items, modalities, width]`` and x⁻ ``[items, completions, modalities, width]``.
    """
    positive, negative = vectors.positive.copy(), vectors.negative.copy()
    for m in range(len(vectors.modalities)):
        present = vectors.mask[:, m]
        positive[present, m] -= positive[present, m].mean(0)
        negative[present, :, m] -= negative[present, :, m].mean((0, 1))
        difference = positive[present, m] - contrast * negative[present, :, m].mean(1)
        scale = np.sqrt(np.square(difference).sum(1).mean())
        positive[:, m] /= max(scale, 1e-6)
        negative[:, :, m] /= max(scale, 1e-6)
    positive[~vectors.mask] = 0
    negative.transpose(0, 2, 1, 3)[~vectors.mask] = 0
    return positive, negative


def _principal_directions(rows: NDArray[np.float32], count: int) -> Tensor:
    """Return the ``count`` leading right singular vectors, ``[count, width]``, zero-padded."""
    _, vectors = np.linalg.eigh(rows.T.astype(np.float64) @ rows)  # ascending eigenvalues
    leading = vectors[:, ::-1][:, :count].T.astype(np.float32)
    # The sign of an eigenvector is arbitrary; fixing it makes the start the same everywhere.
    leading *= np.sign(leading[np.arange(len(leading)), np.abs(leading).argmax(1)])[:, None]
    padded = np.zeros((count, rows.shape[1]), dtype=np.float32)
    padded[: len(leading)] = leading
    return torch.from_numpy(padded)
