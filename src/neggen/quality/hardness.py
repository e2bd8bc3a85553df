"""How hard the generated negatives are for a trained recommender, beside sampled negatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.data.dataset import Dataset
from neggen.negatives.unseen import UnseenItems
from neggen.quality.neighbours import Neighbours

INTERACTIONS = 1 << 15
"""Training interactions that are looked at, at most."""
BATCH = 4096
CANDIDATES = 16
"""Uniform samples that DNS and MixGCF choose from."""


@dataclass(frozen=True)
class Hardness:
    """The gradient weight σ(−(ŷ⁺ − ŷ⁻)) of BPR, mean over the same training interactions.

    Attributes:
        by_sampler: of negatives of ``uniform``, ``dns`` and ``mixgcf``, of the ``generated`` ones,
            and of ``alike``: unseen items whose description is nearest to the positive's own.
        by_modality: of the generated ones, one figure a modality; NaN where there are none.
        by_text: the mean over an item's interactions, float32 ``[items, 1 + completions,
            modalities]`` (0: the description's neighbours, 1 + k: the k-th negative's); NaN where
            none of its interactions was drawn.
        interactions: how many were drawn.
    """

    by_sampler: dict[str, float]
    by_modality: list[float]
    by_text: NDArray[np.float32]
    interactions: int


def measure_hardness(
    factors: tuple[Tensor, Tensor], data: Dataset, neighbours: Neighbours, seed: int
) -> Hardness:
    """Score negatives of every kind for the same (user, positive item) pairs of the training part.

    A generated negative is a text, not an item, so a trained model has no score for it. Its ŷ⁻ is
    that of a real item drawn from those whose descriptions are nearest to the negative in its
    modality (:class:`Neighbours`) and which the user has not used: what the model thinks of things
    that are as the negative says. The figure is the mean over all of them.

    ``uniform`` is one unseen item; ``dns`` the highest scored of 16 (Zhang et al. 2013); ``mixgcf``
    the highest scored of 16 mixtures α e⁺ + (1 − α) e⁻ with one α a pair, uniform in (0, 1)
    (positive mixing of MixGCF, Huang et al. 2021, on the final embeddings, which are all that a
    saved model has, instead of one a layer).

    Args:
        factors: the model's user ``[users, d]`` and item ``[items, d]`` embeddings.
        data: the split data it was trained on.
        neighbours: real items near descriptions and negatives.
        seed: seeds what is drawn.

    Raises:
        NegGenError: If a user has used every item, so that nothing can be sampled.
    """
    generator = torch.Generator().manual_seed(seed)
    users_of, items_of = (each.cpu() for each in factors)
    entries = data.train.tocoo()
    drawn = torch.randperm(entries.nnz, generator=generator)[:INTERACTIONS].numpy()
    users = torch.from_numpy(entries.row[drawn].astype(np.int64))
    positives = torch.from_numpy(entries.col[drawn].astype(np.int64))
    near = torch.from_numpy(neighbours.items)  # [items, 1 + completions, modalities, k]
    unseen, sampler = _Unseen(data.train), UnseenItems(data.train)

    sampled = dict.fromkeys(("uniform", "dns", "mixgcf"), 0.0)
    sums = torch.zeros(near.shape[:3])  # [items, 1 + completions, modalities]
    times = torch.zeros(near.shape[:3])
    for batch in torch.split(torch.arange(len(drawn)), BATCH):
        user, positive = users[batch], positives[batch]
        profile = users_of[user]  # [batch, d]
        score = (profile * items_of[positive]).sum(1, keepdim=True)  # [batch, 1]
        samples = sampler.sample(user, CANDIDATES, generator)
        rivals = torch.einsum("bd,bcd->bc", profile, items_of[samples])  # [batch, candidates]
        alpha = torch.rand((len(batch), 1), generator=generator)
        mixed = alpha * score + (1 - alpha) * rivals  # scores are linear in item embeddings
        for name, chosen in (
            ("uniform", rivals[:, :1]),
            ("dns", rivals.amax(1, keepdim=True)),
            ("mixgcf", mixed.amax(1, keepdim=True)),
        ):
            sampled[name] += float(torch.sigmoid(chosen - score).sum())

        hard = torch.zeros(len(batch), *near.shape[1:3])  # [batch, 1 + completions, modalities]
        counts = torch.zeros_like(hard)
        for rank in range(near.shape[3]):
            item = near[positive, :, :, rank]  # [batch, 1 + completions, modalities]
            fits = (item >= 0) & unseen(user[:, None, None], item)
            rival = torch.einsum("bd,bkmd->bkm", profile, items_of[item.clamp(min=0)])
            hard += torch.where(fits, torch.sigmoid(rival - score[..., None]), 0.0)
            counts += fits
        sums.index_add_(0, positive, hard / counts.clamp(min=1))
        times.index_add_(0, positive, (counts > 0).float())

    means = {name: total / len(drawn) for name, total in sampled.items()}
    for name, text in (("generated", slice(1, None)), ("alike", slice(0, 1))):
        if times[:, text].any():
            means[name] = float(sums[:, text].sum() / times[:, text].sum())
    by_modality = sums[:, 1:].sum((0, 1)) / times[:, 1:].sum((0, 1))  # [modalities]
    by_text = sums / times  # NaN where nothing was measured
    return Hardness(means, by_modality.tolist(), by_text.numpy(), len(drawn))


class _Unseen:
    """Tells whether users have not used items in training."""

    def __init__(self, train: csr_matrix) -> None:
        entries = train.tocoo()
        self._span = train.shape[1]
        keys = np.sort(entries.row.astype(np.int64) * self._span + entries.col)
        self._keys = torch.from_numpy(keys)  # [interactions]

    def __call__(self, users: Tensor, items: Tensor) -> Tensor:
        """Return bool for pairs of int64 users and items that broadcast against each other."""
        wanted = users * self._span + items
        place = torch.searchsorted(self._keys, wanted).clamp(max=len(self._keys) - 1)
        unseen: Tensor = self._keys[place] != wanted
        return unseen
