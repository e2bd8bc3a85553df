"""The causal module: from encoded descriptions and negatives to the effect of the key features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neggen.data.vectors import ItemVectors


class CausalModule(nn.Module):
    """Turns x⁺ and x⁻ into the causal effect c and the counterfactual n of every item.

    For each item, with modalities m and encoded descriptions x_m (NegGen, arXiv 2501.15183)::

        h± = mean over present m of  z_m + SelfAttention(z)_m,   z_m = W_m x±_m
        c  = g(h⁺ − h⁻)      what was intervened on remains, the shared context cancels
        n  = g(h⁻ − h⁺)      the same item with its key features changed

    Attention runs over the modality axis; a missing modality is masked out. The last layer of g
    starts at zero, so that c = n = 0 and a model that adds c to its item embeddings starts exactly
    where it was.
    """

    positive: Tensor
    negative: Tensor
    mask: Tensor

    def __init__(self, vectors: ItemVectors, dim: int, heads: int, include_description: bool):
        """Keep the vectors as buffers and make the layers.

        Args:
            vectors: the encoded descriptions and negatives of all items.
            dim: width d of the module and of the embeddings it adds to.
            heads: attention heads; must divide ``dim``.
            include_description: feed g with h⁺ beside the difference.
        """
        super().__init__()
        modalities, width = vectors.positive.shape[1:]
        self.include_description = include_description
        self.register_buffer("positive", torch.from_numpy(vectors.positive), persistent=False)
        self.register_buffer("negative", torch.from_numpy(vectors.negative), persistent=False)
        self.register_buffer("mask", torch.from_numpy(vectors.mask), persistent=False)
        self.projections = nn.ModuleList(nn.Linear(width, dim, bias=False) for _ in range(modalities))
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        inputs = 2 * dim if include_description else dim
        self.effect = nn.Sequential(nn.Linear(inputs, dim), nn.GELU(), nn.Linear(dim, dim))
        last = self.effect[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, items: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the causal effect ``[batch, d]`` and counterfactuals ``[batch, completions, d]``.

        Args:
            items: internal items, int64 ``[batch]``.
            keep: bool ``[batch, modalities]``; False drops a modality (for training). Items with no
                modality left get zero vectors.
        """
        mask = self.mask[items] if keep is None else self.mask[items] & keep
        known = self._pool(self.positive[items].unsqueeze(1), mask)  # [batch, 1, d]
        other = self._pool(self.negative[items], mask)  # [batch, completions, d]
        present = mask.any(1)[:, None]  # [batch, 1]
        effect = self._effect(known, other).mean(1) * present  # [batch, d]
        counterfactual = self._effect(other, known) * present[:, None]  # [batch, completions, d]
        return effect, counterfactual

    def _pool(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Attend over modalities and average: ``[batch, k, modalities, width]`` to ``[batch, k, d]``."""
        batch, completions, modalities, _ = vectors.shape
        projected = torch.stack(
            [layer(vectors[:, :, m]) for m, layer in enumerate(self.projections)], dim=2
        ).flatten(0, 1)  # [batch * k, modalities, d]
        present = mask.repeat_interleave(completions, dim=0)  # [batch * k, modalities]
        # A row without any modality would make the softmax undefined; it is zeroed by the caller.
        blocked = ~present & present.any(1, keepdim=True)
        attended, _ = self.attention(
            projected, projected, projected, key_padding_mask=blocked, need_weights=False
        )
        weights = present.float() / present.sum(1, keepdim=True).clamp(min=1)
        pooled = ((projected + attended) * weights[..., None]).sum(1)  # [batch * k, d]
        return pooled.view(batch, completions, -1)

    def _effect(self, factual: Tensor, other: Tensor) -> Tensor:
        """g(h − h'), or g([h − h', h]) with the description: ``[batch, k, d]`` twice to once."""
        difference = factual - other
        if self.include_description:
            difference = torch.cat([difference, factual.expand_as(difference)], dim=-1)
        result: Tensor = self.effect(difference)
        return result
