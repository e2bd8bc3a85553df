"""SLMRec: contrastive learning from interactions and from an item's modalities (2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

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
from neggen.models.graph import normalized_adjacency, propagate, smooth
from neggen.models.parts import dropped, initial_nodes
from neggen.negatives.base import Batch
from neggen.negatives.lookup import look_up
from neggen.seeding import seeded
from neggen.training.trainable import Factors


class SLMRecConfig(TrainConfig, FeaturesConfig):
    """SLMRec (Tao et al. 2022)."""

    layers: int = Field(3, ge=0)
    """Propagation steps over the user-item graph."""
    temperature: float = Field(0.2, gt=0)
    """τ of the main loss."""
    task: Literal["fac", "fd", "fm", "fd+fm"] = "fac"
    """What the model learns besides: ``fac`` matches an item's modalities one after another, ``fd``
    two views with dropout, ``fm`` two views without one modality each."""
    task_weight: float = Field(0.1, ge=0)
    """The weight of that task's loss."""
    task_temperature: float = Field(0.2, gt=0)
    """τ of that task's loss."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Chance that a dimension of a view is zero, with ``fd``."""
    weight_decay: float = Field(1e-4, ge=0)
    """λ of ½λ‖Θ‖² over all weights."""


class SLMRecModule(Factors):
    """LightGCN in one channel for the items' embeddings and one for each modality, fused."""

    def __init__(
        self, interactions: csr_matrix, features: Mapping[str, Features], config: SLMRecConfig
    ) -> None:
        super().__init__()
        self.config = config
        self.users, self.items = interactions.shape
        self.channels = 1 + len(features)
        self.adjacency = normalized_adjacency(interactions, config.device)
        self.features = [  # each [items, width], rows of unit length or zero
            F.normalize(torch.from_numpy(f.values).to(config.device)) for f in features.values()
        ]
        d = config.dim
        with seeded(config.seed):
            self.nodes = nn.Parameter(initial_nodes(interactions, d))
            self.projections = nn.ModuleList(_linear(f.shape[1], d) for f in self.features)
            self.fuse_users = _linear(self.channels * d, d)
            self.fuse_items = _linear(self.channels * d, d)
            if config.task == "fac":
                # Where there are several modalities, the last is compared in half the dimensions.
                widths = [d] * len(features)
                if len(features) > 1:
                    widths[-1] = max(1, d // 2)
                self.coarse = nn.ModuleList(map(_linear, [d, *widths], widths))
                self.fine = nn.ModuleList(_linear(d, width) for width in widths)
        self.to(config.device)

    def first(self, keep: Tensor | None = None) -> Tensor:
        """Return layer-0 embeddings, channels side by side, ``[users + items, channels · d]``.

        Args:
            keep: the items' channels that are not masked, bool ``[channels]``; None keeps all.
        """
        projected = (
            project(feature)
            for project, feature in zip(self.projections, self.features, strict=True)
        )
        items = torch.stack([self.nodes[self.users :], *projected], dim=1)  # [items, channels, d]
        if keep is not None:
            items = items * keep[:, None]
        users = self.nodes[: self.users].repeat(1, self.channels)
        return torch.cat([users, items.flatten(1)])

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return fused user ``[users, d]`` and item ``[items, d]`` embeddings."""
        propagated = propagate(self.adjacency, self.first(), self.config.layers)
        return self.fuse_users(propagated[: self.users]), self.fuse_items(propagated[self.users :])

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the main loss, the weighted task, and the weight decay."""
        config = self.config
        users, items = self._rows(batch, propagate(self.adjacency, self.first(), config.layers))
        loss = _match(*self._fused(users, items), config.temperature)
        if config.task == "fac":
            task = self._fine_and_coarse(items.view(len(items), self.channels, -1))
        else:
            task = self._two_views(batch, generator)
        decay = sum((p.square().sum() for p in self.parameters()), loss.new_zeros(()))
        return loss + config.task_weight * task + config.weight_decay / 2 * decay

    def _rows(self, batch: Batch, propagated: Tensor) -> tuple[Tensor, Tensor]:
        """Return those of a batch's users and of its positives, each ``[batch, channels · d]``."""
        users = look_up(propagated, batch.users)
        return users, look_up(propagated, batch.positives + self.users)

    def _fused(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused embeddings of unit length, each ``[batch, d]``."""
        return F.normalize(self.fuse_users(users)), F.normalize(self.fuse_items(items))

    def _fine_and_coarse(self, items: Tensor) -> Tensor:
        """Return the loss of ``fac`` for items ``[batch, channels, d]``."""
        loss, so_far = items.new_zeros(()), items[:, 0]  # [batch, d]
        for channel, (coarse, fine) in enumerate(zip(self.coarse, self.fine, strict=True), 1):
            so_far = coarse(so_far)  # [batch, width]
            loss = loss + _match(so_far, fine(items[:, channel]), self.config.task_temperature)
        return loss

    def _two_views(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss of matching two views of users, and two of items."""
        device, loss = self.nodes.device, self.nodes.new_zeros(())
        keeps: list[Tensor | None] = [None, None]
        if "fm" in self.config.task:
            masked = torch.randperm(self.channels, generator=generator, device=device)
            every = torch.arange(self.channels, device=device)
            keeps = [every != masked[0], every != masked[1]]
        views = [
            self._fused(*self._rows(batch, self._perturbed(self.first(keep), generator)))
            for keep in keeps
        ]
        for one, other in zip(*views, strict=True):  # users, then items
            loss = loss + _match(one, other, self.config.task_temperature)
        return loss

    def _perturbed(self, first: Tensor, generator: torch.Generator) -> Tensor:
        """Return propagated embeddings, with dropout after every hop if the task has it."""
        if "fd" not in self.config.task:
            return propagate(self.adjacency, first, self.config.layers)
        total = current = first
        for _ in range(self.config.layers):
            current = dropped(smooth(self.adjacency, current), self.config.dropout, generator)
            total = total + current
        return total / (self.config.layers + 1)


def _linear(width: int, dim: int) -> nn.Linear:
    layer = nn.Linear(width, dim)
    nn.init.xavier_uniform_(layer.weight)
    return layer


def _match(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Return −log of the softmax that picks each row's partner among all rows, mean.

    Args:
        one: ``[batch, d]``.
        other: ``[batch, d]``; the partner has the same position.
        temperature: divides the dot products.
    """
    logits = (one / temperature) @ other.T  # [batch, batch]
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


class SLMRec(FactorModel):
    """SLMRec (Tao et al. 2022, doi 10.1109/TMM.2022.3187556), without sampled negatives.

    LightGCN runs once for every channel: from e_u and e_i, and for every modality m from e_u and
    W_m x_m + b_m, x_m of unit length. A linear layer fuses the channels of a user and another those
    of an item, ŷ_ui is the dot product, and the main loss the softmax of cos(u, i) / τ over the
    items of the batch. To it comes a task of self-supervision, times ``task_weight``:

    - ``fac``, fine and coarse: the item's embedding, mapped, picks its own first modality among
      those of the batch; mapped again, its second one; and so on.
    - ``fd``, feature dropout: two views, with dropout after every hop, of a user or an item pick
      each other among those of the batch.
    - ``fm``, feature masking: the same of two views that lack one channel of the items each.
    - ``fd+fm``: both at once.

    Modalities are in the order of the data's features. As in the authors' code, two positions of a
    batch with the same user or item count as different, and weight decay is part of the gradient.
    An item without a modality starts as b_m there. Unlike in that code, items without interactions
    start at zero, layer 0 of the two views of ``fm`` is not exchanged, and ``fac`` has one map a
    modality; in the MMRec toolbox, which leaves the audio out, that of the audio is still in the
    chain, an idle linear map more.
    """

    name = "slmrec"
    config_class = SLMRecConfig
    config: SLMRecConfig
    needs_vectors = True
    takes_features = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        features = item_features(data, self.config)
        module = SLMRecModule(data.train, features, self.config)
        self._learn(module, data, context, depends_on=features_hash(features))
