"""MMGCN: one graph convolution a modality over users and items (Wei et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from neggen.config import RankingConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import Features
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.features import FeaturesConfig, features_hash, item_features
from neggen.models.graph import csr_tensor, smooth
from neggen.models.mf import MFModule
from neggen.negatives.base import Batch
from neggen.negatives.view import View
from neggen.seeding import seeded


class MMGCNConfig(RankingConfig, FeaturesConfig):
    """MMGCN (Wei et al. 2019)."""

    regularization: float = Field(1e-3, ge=0)
    """λ, how much ID embeddings and preferences are held small."""
    latent: int = Field(256, ge=1)
    """Width that the features ``image`` are mapped to first; others are taken as they are."""
    layers: int = Field(3, ge=1)
    """Graph convolutions in every modality."""
    train_embeddings: bool = True
    """Whether ID embeddings and preferences are learned; the authors' code leaves them as drawn."""


class Neighbors:
    """Means over the neighbors in the graph of users followed by items."""

    def __init__(self, train: sp.csr_matrix, device: torch.device | str) -> None:
        both = sp.bmat([[None, train], [train.T, None]], format="csr")  # [nodes, nodes], symmetric
        degrees = np.maximum(np.diff(both.indptr), 1).astype(np.float32)  # [nodes]
        self._adjacency = csr_tensor(both, device)
        self._degrees = torch.from_numpy(degrees).to(device)[:, None]

    def mean(self, nodes: Tensor) -> Tensor:
        """Return the mean row of every node's neighbors, zero where it has none, ``[nodes, d]``."""
        return smooth(self._adjacency, nodes) / self._degrees


class ModalityGCN(nn.Module):
    """The graph convolutions of one modality, and what its users prefer."""

    def __init__(self, users: int, features: Tensor, config: MMGCNConfig, latent: int) -> None:
        """Draw the weights.

        Args:
            users: how many.
            features: x of the items, ``[items, width]``.
            config: the settings.
            latent: the width that a map brings the features to first; 0 takes them as they are.
        """
        super().__init__()
        self._features = features
        self.projection = nn.Linear(features.shape[1], latent) if latent else nn.Identity()
        width = latent or features.shape[1]
        self.preferences = nn.Parameter(nn.init.xavier_normal_(torch.empty(users, width)))
        widths = [width] + [config.dim] * (config.layers - 1)
        self.messages = nn.ModuleList(nn.Linear(w, w, bias=False) for w in widths)
        self.selves = nn.ModuleList(nn.Linear(w, config.dim) for w in widths)
        self.combinations = nn.ModuleList(nn.Linear(w + config.dim, config.dim) for w in widths)
        for layer in (*self.messages, *self.selves, *self.combinations):
            nn.init.xavier_normal_(layer.weight)

    def forward(self, neighbors: Neighbors, ids: Tensor) -> Tensor:
        """Return the nodes of the last layer, ``[users + items, d]``.

        Args:
            neighbors: the graph.
            ids: the ID embeddings, ``[users + items, d]``.
        """
        nodes = torch.cat([self.preferences, self.projection(self._features)])
        nodes = F.normalize(nodes)  # [users + items, width]; a zero row stays zero
        for message, own, combine in zip(
            self.messages, self.selves, self.combinations, strict=True
        ):
            aggregated = F.leaky_relu(neighbors.mean(message(nodes)))
            kept = F.leaky_relu(own(nodes)) + ids  # [users + items, d]
            nodes = F.leaky_relu(combine(torch.cat([aggregated, kept], dim=1)))
        return nodes


class MMGCNModule(MFModule):
    """ID embeddings that every modality's graph convolutions make more of."""

    def __init__(
        self, interactions: sp.csr_matrix, features: Mapping[str, Features], config: MMGCNConfig
    ) -> None:
        super().__init__(interactions, config)
        self._neighbors = Neighbors(interactions, config.device)
        with seeded(config.seed, stream=1):
            self.modalities = nn.ModuleList(
                ModalityGCN(
                    self.users,
                    torch.from_numpy(given.values).to(config.device),
                    config,
                    config.latent if name == "image" else 0,
                )
                for name, given in features.items()
            )
        self.to(config.device)
        for table in (self.nodes, *(gcn.preferences for gcn in self.modalities)):
            table.requires_grad_(config.train_embeddings)

    def view(self, first: Tensor) -> View:
        """Return the mean over modalities."""
        outputs = torch.stack([gcn(self._neighbors, first) for gcn in self.modalities])
        return View((outputs.mean(dim=0),), self.users)

    def penalty(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the mean square of a user's ID embedding plus that of an item's."""
        return mean_squares(users, positives, negatives, self.nodes.shape[1])

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Rank, and regularize the ID embeddings of the batch and all preferences."""
        loss = super().loss(batch, generator)
        for gcn in self.modalities:
            loss = loss + self.regularization * gcn.preferences.square().mean()  # type: ignore[operator]
        return loss


def mean_squares(users: Tensor, positives: Tensor, negatives: Tensor, dim: int) -> Tensor:
    """Return the mean square of users plus that of items, of squared lengths, each ``[rows]``."""
    items = torch.stack([role.mean() for role in (positives, negatives) if len(role)])
    return (users.mean() + items.mean()) / dim


class MMGCN(FactorModel):
    """MMGCN (Wei et al. 2019, ACM Multimedia, doi 10.1145/3343031.3351034).

    Every modality m has its own copy of the user-item graph. It starts from x⁰, the preferences of
    users and the features of items, of unit length. With N(v), the neighbors of v, their mean
    message (equation 1), the ID embedding e_v (equation 5), and LeakyReLU σ, a layer is::

        h_v = σ(mean_{w ∈ N(v)} W₁ x_w)
        x'_v = σ(W₃ [h_v ‖ σ(W₂ x_v + b₂) + e_v] + b₃)

    and the score is the product of the means over modalities of the last layer. With cells of the
    batch and of the tables averaged, the regularization is λ (e_u² + (e_p² + e_n²) / 2 + Σ_m p_m²).

    As in the authors' code and the MMRec toolbox's copy, there are three layers (both ignore their
    settings for that), which combine by concatenation, and images are mapped to ``latent`` values
    first. That code hands the ID embeddings e and the preferences p to no optimizer, so that they
    stay as they were drawn and regularizing them does nothing; ``train_embeddings=false`` is that.
    It regularizes the preferences of images alone, and starts W₃ otherwise after the first layer.
    Unlike there, an item without interactions starts at e_i = 0.
    """

    name = "mmgcn"
    config_class = MMGCNConfig
    config: MMGCNConfig
    needs_vectors = True
    takes_features = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        features = item_features(data, self.config)
        module = MMGCNModule(data.train, features, self.config)
        self._learn(module, data, context, depends_on=features_hash(features))
