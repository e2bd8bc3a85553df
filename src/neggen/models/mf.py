"""Matrix factorization with BPR (Rendle et al. 2009, arXiv 1205.2618)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import MFConfig, RankingConfig
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext
from neggen.models.factors import FactorModel
from neggen.models.parts import initial_nodes
from neggen.negatives.base import Batch, Draw
from neggen.negatives.lookup import look_up
from neggen.negatives.view import View
from neggen.seeding import seeded
from neggen.training.ranking_losses import compare, ranking_loss
from neggen.training.trainable import Factors


class MFModule(Factors):
    """One table of embeddings for users and items that learns to rank.

    An item that nobody has used starts at zero, and is never drawn, neither as a positive nor as a
    negative. All that scores it is what a model adds to its embedding: content, or other items.

    A model that makes more of its embeddings overrides ``view`` (or ``first``) and keeps the rest;
    one that learns from more than the ranking overrides ``loss`` and adds to :meth:`rank`.
    """

    def __init__(self, interactions: csr_matrix, config: RankingConfig) -> None:
        super().__init__()
        self.users, self.items = interactions.shape
        self.regularization: float = config.regularization  # type: ignore[attr-defined]
        self.ranking_loss = ranking_loss(config.loss)
        with seeded(config.seed):
            nodes = initial_nodes(interactions, config.dim)
        self.nodes = nn.Parameter(nodes.to(config.device))  # [users + items, d]

    @property
    def by_row(self) -> bool:
        """Whether rows can be divided: unless the sampler chooses, or a model has its own loss."""
        sampler = self.sampler is None or self.sampler.by_row
        usual = type(self).loss is MFModule.loss and type(self).penalty is MFModule.penalty
        return sampler and usual

    def first(self) -> Tensor:
        """Return what is regularized, the layer-0 embeddings ``[users + items, d]``."""
        return self.nodes

    def view(self, first: Tensor) -> View:
        """Return what scores, made of the layer-0 embeddings; every hop if :attr:`hop_by_hop`."""
        return View((first,), self.users)

    @property
    def hop_by_hop(self) -> bool:
        """Whether the sampler looks at every hop."""
        return self.sampler is not None and self.sampler.by_hop

    def embeddings(self) -> tuple[Tensor, Tensor]:
        """Return final user ``[users, d]`` and item ``[items, d]`` embeddings."""
        final = self.view(self.first()).final
        return final[: self.users], final[self.users :]

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Rank by the final embeddings, and regularize the layer-0 ones."""
        first = self.first()
        return self.rank(first, self.view(first), batch, generator)

    def rank(self, first: Tensor, view: View, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the ranking loss and λ times :meth:`penalty`.

        A model that overrides it adds means over rows, or says that its rows cannot be divided
        (:attr:`by_row`).

        Args:
            first: what is regularized, ``[users + items, d]``.
            view: what scores.
            batch: the step.
            generator: what the sampler draws from.
        """
        draw = Draw(batch.negatives)
        if self.sampler is not None:
            draw = self.sampler.choose(batch, view, generator)
        self.drawn = draw._replace(embeddings=None, penalty=None)  # which hold the step's graph
        pairs = torch.cat([batch.users, batch.positives + self.users])  # [2 · batch]
        rows = torch.cat([pairs, draw.items.flatten() + self.users])
        sizes = [len(batch.users), len(batch.users), draw.items.numel()]
        looked_up = self._ready(view, rows if draw.embeddings is None else pairs)
        # In one go: every slice on its own would get a gradient as large as what it is taken from.
        if draw.embeddings is None:
            users, positives, negatives = torch.split(looked_up, sizes)  # each [batch · …, d]
            negatives = negatives.view(*draw.items.shape, -1)  # [batch, k, d]
        else:
            users, positives = torch.split(looked_up, sizes[:2])  # each [batch, d]
            negatives = self.ranking_loss.ready(draw.embeddings)  # [batch, k, d], or [k, d]
        loss = compare(self.ranking_loss, users, positives, negatives, draw)
        if draw.penalty is not None:
            loss = loss + draw.penalty
        same = view.final is first and not self.ranking_loss.cosine and draw.embeddings is None
        squares = _squared_lengths(first, rows, looked_up if same else None)  # [rows]
        of_users, of_positives, of_negatives = torch.split(squares, sizes)
        if draw.items is batch.positives:  # in-batch negatives, which are counted already
            of_negatives = of_negatives[:0]
        return loss + self.regularization * self.penalty(of_users, of_positives, of_negatives)

    def _ready(self, view: View, rows: Tensor) -> Tensor:
        """Return rows as the loss takes them, made of the whole table where that is less work."""
        if len(rows) > self.users + self.items:
            return look_up(self.ranking_loss.ready(view.final), rows)
        return self.ranking_loss.ready(view.nodes(rows))

    def penalty(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Return ½(‖e_u‖² + ‖e_p‖² + ‖e_n‖²), each a mean over its rows.

        Args:
            users: squared lengths of layer-0 embeddings of a batch, ``[batch]``.
            positives: the same, ``[batch]``.
            negatives: the same of what the sampler drew, ``[rows]``; none if these are positives.
        """
        return (users.mean() + positives.mean() + negatives.sum() / max(1, len(negatives))) / 2


def _squared_lengths(table: Tensor, rows: Tensor, looked_up: Tensor | None) -> Tensor:
    """Return ‖x‖² of some rows of a table, from the rows or the whole table, whichever is less."""
    if looked_up is None and len(rows) < len(table):
        # A parameter also gets the gradient of what scores, which is dense: their sum is dense too.
        # On a GPU, where zeros cost little, a sparse one would have to be sorted.
        if table.is_leaf and not table.is_cuda:
            looked_up = F.embedding(rows, table, sparse=True)
        else:
            looked_up = look_up(table, rows)
    if looked_up is not None:
        lengths: Tensor = torch.linalg.vector_norm(looked_up, dim=1)  # [rows]
    else:
        lengths = look_up(torch.linalg.vector_norm(table, dim=1), rows)  # [rows]
    return lengths.square()


class MF(FactorModel):
    """Matrix factorization, ŷ_ui = e_u · e_i; by default with BPR on uniformly drawn negatives."""

    name = "mf"
    config_class = MFConfig
    config: MFConfig

    def _fit(self, data: Dataset, context: FitContext) -> None:
        self._learn(MFModule(data.train, self.config), data, context)
