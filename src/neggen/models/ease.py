"""EASE: a linear item-item model in closed form (Steck 2019, arXiv 1905.03375)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import EASEConfig
from neggen.data.dataset import Dataset
from neggen.errors import NegGenError, TooLittleMemory
from neggen.models.base import FitContext, Recommender
from neggen.models.graph import csr_tensor, multiply
from neggen.models.tensors import pack_csr, unpack_csr
from neggen.seeding import seeded

FACTORS = 64
"""Singular directions of the weights that stand for the items, at most."""
MATRICES = 3
"""Items × items matrices in float32 that fitting holds at once."""


class EASE(Recommender):
    """Embarrassingly shallow autoencoder.

    With the Gram matrix G = XᵀX + λI and P = G⁻¹, the weights are B = I − P · diag(1/P_jj), which
    have a zero diagonal, and a user's scores are their training row times B (equation 8).
    """

    name = "ease"
    config_class = EASEConfig
    draws = False
    config: EASEConfig

    def _fit(self, data: Dataset, context: FitContext) -> None:
        check_memory(data.shape[1], self.config.device)
        gram = self._gram(data).to(self.config.device)
        gram.diagonal().add_(self.config.regularization)
        try:
            factor = torch.linalg.cholesky(gram)
            del gram  # a matrix less while the inverse is made
            precision = torch.cholesky_inverse(factor).mT  # symmetric, so this is by rows
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            raise NegGenError(
                f"The {self.name} model cannot be solved with these settings, because its matrix "
                f"is singular; raise regularization (now {self.config.regularization:g})."
            ) from None
        del factor
        weights = precision.div_(-precision.diagonal().clone())  # column j divided by −P_jj
        weights.fill_diagonal_(0)
        self.weights = weights
        self.train = data.train

    def _gram(self, data: Dataset) -> Tensor:
        """Return how much items go together, ``[items, items]``."""
        return torch.from_numpy((data.train.T @ data.train).toarray())

    def item_vectors(self, items: Tensor) -> Tensor:
        """Return the columns of B: what predicts an item, ``[batch, items]``."""
        return self.weights[:, items].T

    def _score(self, users: Tensor) -> Tensor:
        return self._score_histories(self.train[users.cpu().numpy()])

    def _score_histories(self, histories: csr_matrix) -> Tensor:
        return multiply(csr_tensor(histories, self.weights.device), self.weights)

    def item_factors(self) -> Tensor:
        """Return V√Σ of the leading singular directions of B ≈ UΣVᵀ, ``[items, at most 64]``.

        A user's scores are then those of x_u U√Σ, as if V√Σ were embeddings.
        """
        weights = self.weights.cpu()  # whose random numbers are the same everywhere
        with seeded(0):
            _, sigma, right = torch.svd_lowrank(weights, min(2 * FACTORS, len(weights)), niter=4)
        factors = right * sigma.sqrt()  # [items, at most 128], of which the last are inexact
        return factors[:, :FACTORS].to(self.weights.device)

    def _tensors(self) -> dict[str, Tensor]:
        return {"weights": self.weights, **pack_csr("train", self.train)}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.weights = tensors["weights"]
        self.train = unpack_csr("train", tensors, len(self.weights))


def check_memory(items: int, device: str) -> None:
    """Refuse what would not fit, before hours are spent.

    Raises:
        TooLittleMemory: If the matrices take more memory than there is.
    """
    needed, free = MATRICES * 4 * items**2, free_memory(device)
    if free is not None and needed > free:
        raise TooLittleMemory(
            f"EASE inverts a dense items × items matrix: {items:,} items need "
            f"{needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free here. Use "
            f"item-knn or lightgcn, or import with --k-core for fewer items."
        )


def free_memory(device: str) -> int | None:
    """Return how many bytes a device has to spare; None where the system does not say."""
    if device != "cpu":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free: int = torch.cuda.mem_get_info(device)[0]
        return free + cached  # which torch holds and does not use
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    return 1024 * int(told.partition("MemAvailable:")[2].split()[0])
