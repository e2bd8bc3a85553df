"""EASE against its closed form."""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import pytest
import torch

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.models import ease
from neggen.models.content_ease import ContentEASE
from neggen.models.ease import EASE, free_memory
from neggen.models.linear_neggen import LinearNegGen
from neggen.testing import checkerboard, refuses


def test_weights_are_the_closed_form() -> None:
    data = checkerboard()
    model = EASE(regularization=3.0).fit(data)
    train = data.train.toarray().astype(np.float64)
    inverse = np.linalg.inv(train.T @ train + 3.0 * np.eye(train.shape[1]))
    expected = np.eye(len(inverse)) - inverse @ np.diag(1 / np.diag(inverse))  # equation 8
    assert np.abs(model.weights.numpy() - expected).max() < 1e-5
    assert model.weights.diagonal().equal(torch.zeros(len(inverse)))
    assert model.weights.is_contiguous()  # or scoring would copy them again and again
    scores = model.score_index(torch.tensor([4, 1])).numpy()
    assert np.allclose(scores, train[[4, 1]] @ expected, atol=1e-5)


def test_no_other_zero_diagonal_weights_fit_better() -> None:
    # The closed form minimizes ‖X − XB‖² + λ‖B‖² over B with a zero diagonal: moving away loses.
    data = checkerboard()
    train, model = torch.from_numpy(data.train.toarray()), EASE(regularization=3.0).fit(data)

    def objective(weights: torch.Tensor) -> float:
        return ((train - train @ weights).square().sum() + 3.0 * weights.square().sum()).item()

    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        step = 0.01 * torch.randn(model.weights.shape, generator=generator)
        assert objective(model.weights + step.fill_diagonal_(0)) > objective(model.weights)


def test_item_factors_are_the_singular_directions_of_the_weights() -> None:
    model = EASE(regularization=3.0).fit(checkerboard())
    torch.manual_seed(1)
    factors, state = model.item_factors(), torch.get_rng_state()
    _, sigma, right = np.linalg.svd(model.weights.numpy().astype(np.float64))
    assert factors.shape == (40, 40)
    expected = right.T @ np.diag(sigma) @ right  # V√Σ times its transpose
    assert np.abs((factors @ factors.T).numpy() - expected).max() < 1e-4
    torch.manual_seed(1)
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(2)
    assert model.item_factors().equal(factors)


def test_item_factors_are_the_leading_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "FACTORS", 3)
    model = EASE(regularization=3.0).fit(checkerboard())
    factors = model.item_factors()
    _, sigma, right = np.linalg.svd(model.weights.numpy().astype(np.float64))
    assert factors.shape == (40, 3)
    assert np.allclose(factors.square().sum(0), sigma[:3], rtol=0.02)
    assert np.abs(right[0] @ factors[:, 0].numpy()) > 0.98 * np.sqrt(sigma[0])


def test_refuses_a_matrix_that_is_singular() -> None:
    log = [(f"u{user}", item) for user in range(4) for item in ("twin", "other twin")]
    data = Dataset.from_frames(pl.DataFrame(log, ["user_id", "item_id"], orient="row"))
    data = data.replace(parts=np.zeros(8, dtype=np.uint8))
    with refuses("The ease model", "singular; raise regularization (now 1e-09)"):
        EASE(regularization=1e-9).fit(data)
    assert EASE(regularization=1.0).fit(data).weights.isfinite().all()


@pytest.mark.parametrize("cls", [EASE, ContentEASE, LinearNegGen])
def test_refuses_a_catalog_it_cannot_invert(cls: type[EASE]) -> None:
    items = 1_000_000
    log = pl.DataFrame({"user_id": ["a", "a", "b", "b", "b"], "item_id": [0, 1, 0, 1, 2]})
    data = Dataset.from_frames(log, pl.DataFrame({"item_id": pl.int_range(items, eager=True)}))
    with pytest.raises(
        NegGenError, match=r"1,000,000 items need 12,000\.0 GB, and .* are free here"
    ):
        cls().fit(data.replace(parts=np.zeros(5, dtype=np.uint8)))


def test_free_memory_is_that_of_the_machine() -> None:
    free = free_memory("cpu")
    if free is None:
        pytest.skip("needs /proc/meminfo")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < free <= total
