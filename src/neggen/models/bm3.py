"""BM3: users, items and their modalities agree with dropped-out views of each other (2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import TrainConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import Features
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.features import FeaturesConfig, features_hash, item_features
from neggen.models.graph import normalized_adjacency, propagate
from neggen.models.parts import dropped, feature_tables, initial_nodes
from neggen.negatives.base import Batch
from neggen.negatives.lookup import look_up
from neggen.seeding import seeded
from neggen.training.trainable import Factors


class BM3Config(TrainConfig, FeaturesConfig):
    """BM3 (Zhou et al. 2023, arXiv 2207.05969)."""

    layers: int = Field(1, ge=0)
    """Propagation steps over the user-item graph."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Chance that a dimension of a view is zero."""
    alignment: float = Field(2.0, ge=0)
    """w, the weight of the losses of modalities."""
    regularization: float = Field(0.1, ge=0)
    """λ of λ(‖H_U‖ + ‖H_I‖) / items, norms of whole tables."""
    train_features: bool = True
    """Whether training moves the features too, as published; off saves memory and time."""


class BM3Module(Factors):
    """LightGCN whose embeddings predict each other, without negatives."""

    def __init__(
        self, interactions: csr_matrix, features: Mapping[str, Features], config: BM3Config
    ) -> None:
        super().__init__()
        self.config = config
        self.users, self.items = interactions.shape
        self.adjacency = normalized_adjacency(interactions, config.device)
        self.masks = [torch.from_numpy(f.mask).to(config.device) for f in features.values()]
        self.features = feature_tables(features, config.device, trained=config.train_features)
        with seeded(config.seed):
            self.nodes = nn.Parameter(initial_nodes(interactions, config.dim))
            self.predictor = nn.Linear(config.dim, config.dim)
            self.projections = nn.ModuleList(
                nn.Linear(feature.shape[1], config.dim) for feature in self.features
            )
            for layer in (self.predictor, *self.projections):
                nn.init.xavier_normal_(layer.weight)
        self.to(config.device)

    def final(self) -> Tensor:
        """Return h: propagated embeddings, those of items plus e_i, ``[users + items, d]``."""
        propagated = propagate(self.adjacency, self.nodes, self.config.layers)
        own = self.nodes[self.users :]
        return propagated + torch.cat([torch.zeros_like(self.nodes[: self.users]), own])

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return f(h) of users ``[users, d]`` and of items ``[items, d]``."""
        predicted = self.predictor(self.final())
        return predicted[: self.users], predicted[self.users :]

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the reconstruction, the alignment and the regularization of a batch."""
        config, final = self.config, self.final()
        users = look_up(final, batch.users)  # [batch, d]
        items = look_up(final, batch.positives + self.users)
        user_view = dropped(users.detach(), config.dropout, generator)
        item_view = dropped(items.detach(), config.dropout, generator)
        loss: Tensor = _distance(self.predictor(users), item_view).mean()
        loss = loss + _distance(self.predictor(items), user_view).mean()
        for table, mask, projection in zip(
            self.features, self.masks, self.projections, strict=True
        ):
            known = mask[batch.positives]  # [batch]
            rows = projection(look_up(table, batch.positives))  # [batch, d]
            view = dropped(rows.detach(), config.dropout, generator)
            predicted = self.predictor(rows)
            apart = _distance(predicted, item_view) + _distance(predicted, view)  # [batch]
            loss = loss + config.alignment * (apart * known).sum() / known.sum().clamp(min=1)
        for table in (final[: self.users], final[self.users :]):
            loss = loss + config.regularization * torch.linalg.vector_norm(table) / self.items
        return loss


def _distance(predicted: Tensor, view: Tensor) -> Tensor:
    """Return 1 − cos of the rows of two ``[batch, d]``, ``[batch]``."""
    likeness: Tensor = F.cosine_similarity(predicted, view, dim=1)
    return 1 - likeness


class BM3(FactorModel):
    """BM3 (Zhou et al. 2023, arXiv 2207.05969), which learns from positives alone.

    h_u is LightGCN's embedding, h_i the same plus e_i, and h_m = W_m x_m + b_m that of an item's
    modality m. With a linear predictor f, views ḣ that dropout makes of h and that pass no
    gradient, and C(a, b) = 1 − cos(a, b), the loss of a user and an item that belong together is::

        C(f(h_u), ḣ_i) + C(f(h_i), ḣ_u) + w Σ_m [C(f(h_m), ḣ_i) + C(f(h_m), ḣ_m)]
            + λ(‖H_U‖ + ‖H_I‖) / items

    and the score is ŷ_ui = f(h_u) · f(h_i). The features shape the embeddings in training and have
    no part in the score, so an item without interactions has none of its own.

    As in the authors' code, which is also that of the MMRec toolbox, ‖·‖ is the Frobenius norm of
    the table of all users or items, not squared, and training moves the features x themselves.
    Unlike there, an item without a modality takes no part in its terms, an item without
    interactions starts at zero, and dropout is drawn by row of the batch, so that a node that
    occurs twice has two views.
    """

    name = "bm3"
    config_class = BM3Config
    config: BM3Config
    needs_vectors = True
    takes_features = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        features = item_features(data, self.config)
        module = BM3Module(data.train, features, self.config)
        self._learn(module, data, context, depends_on=features_hash(features))
