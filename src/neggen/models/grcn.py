"""GRCN: graph convolution over edges weighed by what items are (Wei et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import RankingConfig
from neggen.data.dataset import Dataset
from neggen.data.sparse_tensor import sparse_csr
from neggen.data.vectors import Features
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.features import FeaturesConfig, features_hash, item_features
from neggen.models.graph import csr_tensor, multiply
from neggen.models.mf import MFModule
from neggen.models.mmgcn import mean_squares
from neggen.negatives.base import Batch
from neggen.negatives.lookup import look_up
from neggen.negatives.view import View
from neggen.seeding import seeded


class GRCNConfig(RankingConfig, FeaturesConfig):
    """GRCN (Wei et al. 2020, arXiv 2111.02036)."""

    regularization: float = Field(1e-3, ge=0)
    """λ, how much embeddings and preferences are held small."""
    latent: int = Field(64, ge=1)
    """Width of what every modality makes of users and items."""
    layers: int = Field(2, ge=1)
    """Propagation steps of the embeddings over the refined graph."""
    routing: int = Field(0, ge=0)
    """Steps that bring a user's preference nearer to what the user has, in every modality: 3 in the
    paper, and none in effect in its published code."""
    prune: bool = True
    """Whether negative weights of edges are cut to zero."""


class Edges:
    """The interactions as edges that messages with learned weights pass, either way.

    Weights are float ``[edges]``, in the order of the training matrix's rows.

    Attributes:
        users: the user of every edge, int64 ``[edges]``.
        items: the item of every edge, int64 ``[edges]``.
    """

    def __init__(self, train: csr_matrix, device: torch.device | str) -> None:
        """Take the training part, 0/1 CSR ``[users, items]``."""
        numbered = csr_matrix((np.arange(train.nnz), train.indices, train.indptr), train.shape)
        by_item = numbered.T.tocsr()
        self._by_user, self._by_item = csr_tensor(train, device), csr_tensor(by_item, device)
        self._item_order = self._by_item.values()  # [edges], numbers of edges, item by item
        rows = np.repeat(np.arange(train.shape[0]), np.diff(train.indptr))
        self.users = torch.from_numpy(rows).to(device)
        self.items = torch.from_numpy(train.indices.astype(np.int64)).to(device)

    def matrix(self, weights: Tensor, to_users: bool) -> Tensor:
        """Return weights as sparse CSR ``[users, items]``, or ``[items, users]``."""
        pattern = self._by_user if to_users else self._by_item
        ordered = weights if to_users else weights[self._item_order]
        shape = (pattern.shape[0], pattern.shape[1])
        return sparse_csr(pattern.crow_indices(), pattern.col_indices(), ordered, shape)

    def dots(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the dot products of users ``[users, d]`` and items ``[items, d]`` at each edge."""
        found: Tensor = torch.sparse.sampled_addmm(self._by_user, users, items.T, beta=0.0)
        return found.values()

    def totals(self, weights: Tensor, to_users: bool) -> Tensor:
        """Return at each edge the sum over all edges of its user, or of its item, ``[edges]``."""
        matrix, ends = self.matrix(weights, to_users), self.users if to_users else self.items
        sums = multiply(matrix, weights.new_ones(matrix.shape[1], 1))  # [users or items, 1]
        return sums[ends, 0]


class _Dots(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: Edges, users: Tensor, items: Tensor) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(users, items)
        return edges.dots(users, items)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor]:
        users, items = ctx.saved_tensors
        to_users, to_items = (ctx.edges.matrix(gradient, side) for side in (True, False))
        return None, multiply(to_users, items), multiply(to_items, users)


class _Shares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: Edges, logits: Tensor, to_users: bool) -> Tensor:
        weights = logits.exp()  # of cosines: nothing overflows
        shares = weights / edges.totals(weights, to_users)
        ctx.edges, ctx.to_users = edges, to_users
        ctx.save_for_backward(shares)
        return shares

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        (shares,) = ctx.saved_tensors
        weighed = shares * gradient
        return None, weighed - shares * ctx.edges.totals(weighed, ctx.to_users), None


class _Messages(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: Edges, weights: Tensor, sources: Tensor, to_users: bool) -> Tensor:
        ctx.edges, ctx.to_users = edges, to_users
        ctx.save_for_backward(weights, sources)
        return multiply(edges.matrix(weights, to_users), sources)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, None]:
        weights, sources = ctx.saved_tensors
        ends = (gradient, sources) if ctx.to_users else (sources, gradient)
        to_sources = ctx.edges.matrix(weights, not ctx.to_users)
        return None, ctx.edges.dots(*ends), multiply(to_sources, gradient), None


def _dots(edges: Edges, users: Tensor, items: Tensor) -> Tensor:
    """Return :meth:`Edges.dots`, with gradients for both ends."""
    found: Tensor = _Dots.apply(edges, users, items)  # type: ignore[no-untyped-call]
    return found


def _shares(edges: Edges, logits: Tensor, *, to_users: bool) -> Tensor:
    """Return the softmax of logits over all edges of a user, or of an item, ``[edges]``."""
    found: Tensor = _Shares.apply(edges, logits, to_users)  # type: ignore[no-untyped-call]
    return found


def _messages(edges: Edges, weights: Tensor, sources: Tensor, *, to_users: bool) -> Tensor:
    """Return weighted sums of items for every user, or of users for every item, ``[…, d]``."""
    found: Tensor = _Messages.apply(edges, weights, sources, to_users)  # type: ignore[no-untyped-call]
    return found


class Modality(nn.Module):
    """How much one modality says for each interaction, and what it makes of users and items."""

    def __init__(self, users: int, features: Tensor, config: GRCNConfig) -> None:
        """Draw the weights; ``features`` are x of the items, ``[items, width]``."""
        super().__init__()
        self._features, self._routing = features, config.routing
        self.preferences = nn.Parameter(nn.init.xavier_normal_(torch.empty(users, config.latent)))
        self.projection = nn.Linear(features.shape[1], config.latent)
        nn.init.xavier_normal_(self.projection.weight)

    def forward(self, edges: Edges) -> tuple[Tensor, Tensor, Tensor]:
        """Return content ``[users + items, latent]`` and shares to users and to items, ``[edges]``.

        The shares of a user's edges sum to one, as do those of an item's.
        """
        users = F.normalize(self.preferences)
        items = F.normalize(F.leaky_relu(self.projection(self._features)))
        for _ in range(self._routing):
            shares = _shares(edges, _dots(edges, users, items), to_users=True)
            users = F.normalize(users + _messages(edges, shares, items, to_users=True))
        likeness = _dots(edges, users, items)  # [edges], cosines
        to_users = _shares(edges, likeness, to_users=True)
        to_items = _shares(edges, likeness, to_users=False)
        of_users = users + _messages(edges, to_users, items, to_users=True)
        of_items = items + _messages(edges, to_items, users, to_users=False)
        return torch.cat([of_users, of_items]), to_users, to_items


class GRCNModule(MFModule):
    """Embeddings that pass over the refined graph, beside what every modality makes of nodes."""

    def __init__(
        self, interactions: csr_matrix, features: Mapping[str, Features], config: GRCNConfig
    ) -> None:
        super().__init__(interactions, config)
        self.layers, self.prune = config.layers, config.prune
        self._edges = Edges(interactions, config.device)
        with seeded(config.seed, stream=1):
            self.modalities = nn.ModuleList(
                Modality(self.users, torch.from_numpy(f.values).to(config.device), config)
                for f in features.values()
            )
            confidence = torch.empty(self.users + self.items, len(features))
            self.confidence = nn.Parameter(nn.init.xavier_normal_(confidence))
        self.to(config.device)

    def view(self, first: Tensor) -> View:
        """Return embeddings beside content, ``d + modalities · latent`` wide."""
        contents, *shares = zip(*(one(self._edges) for one in self.modalities), strict=True)
        to_users, to_items = (torch.stack(each, dim=1) for each in shares)  # [edges, modalities]
        of_users, of_items = self.confidence[: self.users], self.confidence[self.users :]
        # A message weighs as much as its sender's surest modality says.
        to_users = (to_users * look_up(of_items, self._edges.items)).amax(dim=1)  # [edges]
        to_items = (to_items * look_up(of_users, self._edges.users)).amax(dim=1)
        if self.prune:
            to_users, to_items = to_users.relu(), to_items.relu()
        total = current = F.normalize(first)  # [users + items, d]
        for _ in range(self.layers):
            users, items = current[: self.users], current[self.users :]
            at_users = _messages(self._edges, to_users, items, to_users=True)
            at_items = _messages(self._edges, to_items, users, to_users=False)
            current = torch.cat([at_users, at_items])
            total = total + current
        return View((torch.cat([total, *contents], dim=1),), self.users)

    def penalty(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return the mean square of a user's embedding plus that of an item's."""
        return mean_squares(users, positives, negatives, self.nodes.shape[1])

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Rank, and regularize the embeddings and the preferences of the batch."""
        loss = super().loss(batch, generator)
        for one in self.modalities:
            preferences = look_up(one.preferences, batch.users)  # type: ignore[arg-type]
            loss = loss + self.regularization * preferences.square().mean()
        return loss


class GRCN(FactorModel):
    """GRCN (Wei et al. 2020, arXiv 2111.02036), which finds the interactions that mean something.

    For a modality with features x, let f_i be LeakyReLU(W x_i + b) at unit length and p_u a
    preference at unit length. Routing brings the preferences nearer to what the users have::

        p_u ← normalize(p_u + Σ_{i ∈ N(u)} a_ui f_i),    a_ui = softmax over i of p_u · f_i

    The content of a node is its p_u or f_i plus the same weighted sum over its neighbors. The edge
    that takes i to u weighs w_ui = ReLU(max_m a_ui c_im), with c, a learned confidence in every
    node's modalities; the way back has its own softmax, w_iu = ReLU(max_m a_iu c_um). Over these
    edges the embeddings e, at unit length, make n⁰ = e, n^{l+1} = Σ w n^l. The score is the product
    of Σ_l n^l with the contents of all modalities beside it. With cells of the batch averaged, the
    regularization is λ (e_u² + (e_p² + e_n²) / 2 + Σ_m p_um²).

    The paper routes three times. In the authors' code and the MMRec toolbox's copy the messages of
    routing go to the items and never reach the preferences: as if there were none, which is the
    default here, ``routing=0``. The toolbox regularizes the preferences of images a second time,
    over all users; this does not. Unlike in both, an item without interactions starts at e_i = 0,
    so that its content alone ranks it.
    """

    name = "grcn"
    config_class = GRCNConfig
    config: GRCNConfig
    needs_vectors = True
    takes_features = True

    def _fit(self, data: Dataset, context: FitContext) -> None:
        features = item_features(data, self.config)
        module = GRCNModule(data.train, features, self.config)
        self._learn(module, data, context, depends_on=features_hash(features))
