"""The causal module: from encoded descriptions and negatives to the effect of the key features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from neggen.data.vectors import ItemVectors
from neggen.errors import NegGenError
from neggen.models.balance import CATALOG, Balance
from neggen.seeding import seeded


class Effects(NamedTuple):
    """What the causal module says of a batch of items."""

    effects: Tensor
    """c, the mean over completions, of unit length, ``[batch, d]``."""
    counterfactuals: Tensor
    """n of every completion, of unit length, ``[batch, completions, d]``."""
    contexts: Tensor
    """g(s), the mean over completions, ``[batch, d]``."""


class EffectNetwork(nn.Module):
    """Turns encoded descriptions x⁺ and negatives x⁻ into causal effects.

    For each item, with its modalities m (after NegGen, arXiv 2501.15183)::

        h± = mean over present m of  z_m + SelfAttention(z)_m,    z_m = W_m x±_m
        c  = g(h⁺ − ρ h⁻)    the factual item; what was intervened on stands out, context cancels
        n  = g(h⁻)           the counterfactual: the same item with its key features changed
        s  = (h⁺ + h⁻) / 2   the context that both share

    with c and n scaled to unit length. Attention runs over the modality axis, a missing modality is
    masked out, and an item without any has c = n = 0.

    An item's own text, if it is one of the modalities, has no negative: it enters h⁺ only, and in
    h⁻ it neither attends nor counts, so that nothing is subtracted from it. (The mean in h⁻ still
    divides by the number of modalities in h⁺, so that the others cancel as ever.) An item with
    nothing but its own text has n = 0.
    """

    opposed: Tensor

    def __init__(self, balance: Balance, *, dim: int, heads: int, contrast: float) -> None:
        """Make the layers, with random attention.

        Args:
            balance: how x⁺ and x⁻ are centered and scaled.
            dim: width d of the effect.
            heads: attention heads; must divide ``dim``.
            contrast: ρ.
        """
        super().__init__()
        self.balance = balance
        self.contrast = contrast
        modalities, width = balance.positive_mean.shape
        if not modalities:
            raise NegGenError(
                "NegGen is given nothing that describes the items: neither descriptions nor, with "
                "use_text=false, their own texts."
            )
        opposed = torch.tensor([name != CATALOG for name in balance.modalities])  # [modalities]
        self.register_buffer("opposed", opposed, persistent=False)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.effect = nn.Linear(dim, dim, bias=False)
        self.projections = nn.Parameter(torch.zeros(modalities, dim, width))  # W

    def of(self, vectors: ItemVectors) -> Effects:
        """Return the effects of described items, in the order of the vectors."""
        parts = (*self.balance.apply(vectors), vectors.mask)
        return self.compare(*(torch.from_numpy(part).to(self.opposed.device) for part in parts))

    def compare(self, positive: Tensor, negative: Tensor, mask: Tensor) -> Effects:
        """Return effects, counterfactuals and contexts of balanced vectors.

        Args:
            positive: x⁺, ``[batch, modalities, width]``.
            negative: x⁻, ``[batch, completions, modalities, width]``.
            mask: bool ``[batch, modalities]``, True where there is something to compare.
        """
        both = torch.cat([positive.unsqueeze(1), negative], dim=1)
        opposed = (mask & self.opposed)[:, None].expand(-1, negative.shape[1], -1)
        present = torch.cat([mask[:, None], opposed], dim=1)  # [batch, 1 + completions, modalities]
        pooled = self._pool(both, present)  # [batch, 1 + completions, d]
        factual, changed = pooled[:, :1], pooled[:, 1:]
        effects = F.normalize(self.effect(factual - self.contrast * changed).mean(1), dim=-1)
        counterfactuals = F.normalize(self.effect(changed), dim=-1)
        counterfactuals = counterfactuals * opposed.any(2, keepdim=True)
        contexts = self.effect((factual.squeeze(1) + changed.mean(1)) / 2)
        return Effects(effects, counterfactuals, contexts)

    def _pool(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Attend over modalities and average: ``[batch, k, modalities, width] → [batch, k, d]``.

        ``mask`` is ``[batch, k, modalities]``; the average is over what is present in any of the k.
        """
        batch, rows = vectors.shape[:2]
        projected = torch.stack(
            [F.linear(vectors[:, :, m], weight) for m, weight in enumerate(self.projections)], dim=2
        ).flatten(0, 1)  # [batch * k, modalities, d]
        present = mask.flatten(0, 1)  # [batch * k, modalities]
        # The softmax over no modality is undefined: such a row attends, but has no weight below.
        blocked = ~present & present.any(1, keepdim=True)
        # Asking for the weights avoids the fused kernel, which is made for long sequences: over a
        # handful of modalities it takes twice the time.
        attended, _ = self.attention(projected, projected, projected, key_padding_mask=blocked)
        weights = mask / mask.any(1, keepdim=True).sum(2, keepdim=True).clamp(min=1)
        attended = (projected + attended).unflatten(0, (batch, rows))  # [batch, k, modalities, d]
        pooled: Tensor = (attended * weights[..., None]).sum(2)
        return pooled


class CausalModule(EffectNetwork):
    """The network for the items of one catalogue, at its start.

    Three choices make the untrained module a good content model already, so that training
    starts from the geometry of the text encoder. x⁺ and x⁻ are centered, and modalities scaled to
    the same mean energy, so that none drowns the other (see :class:`Balance`). And W_m starts at
    the leading principal directions of x⁺ − ρx⁻, attention at zero, and g at the identity.
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
        balance = Balance.fit(vectors, contrast)
        with seeded(seed):
            super().__init__(balance, dim=dim, heads=heads, contrast=contrast)
        positive, negative = balance.apply(vectors)
        self.register_buffer("positive", torch.from_numpy(positive), persistent=False)
        self.register_buffer("negative", torch.from_numpy(negative), persistent=False)
        self.register_buffer("mask", torch.from_numpy(vectors.mask), persistent=False)
        contrasted = (positive - contrast * negative.mean(1))[vectors.mask]  # [records, width]
        nn.init.zeros_(self.attention.out_proj.weight)
        nn.init.eye_(self.effect.weight)
        with torch.no_grad():
            self.projections.copy_(_principal_directions(contrasted, dim))  # the same for all m

    def forward(self, items: Tensor, keep: Tensor | None = None) -> Effects:
        """Return effects, counterfactuals and contexts of items.

        Args:
            items: internal items, int64 ``[batch]``.
            keep: bool ``[batch, modalities]``; False leaves a modality of an item out.
        """
        mask = self.mask[items] if keep is None else self.mask[items] & keep
        return self.compare(self.positive[items], self.negative[items], mask)


def _principal_directions(rows: NDArray[np.float32], count: int) -> Tensor:
    """Return the ``count`` leading right singular vectors, ``[count, width]``, zero-padded."""
    _, vectors = np.linalg.eigh(rows.T.astype(np.float64) @ rows)  # ascending eigenvalues
    leading = vectors[:, ::-1][:, :count].T.astype(np.float32)
    # The sign of an eigenvector is arbitrary; fixing it makes the start the same everywhere.
    leading *= np.sign(leading[np.arange(len(leading)), np.abs(leading).argmax(1)])[:, None]
    padded = np.zeros((count, rows.shape[1]), dtype=np.float32)
    padded[: len(leading)] = leading
    return torch.from_numpy(padded)
