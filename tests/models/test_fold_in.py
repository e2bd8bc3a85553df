"""Embeddings from histories against ridge regression by hand."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix

from neggen.models.fold_in import RIDGE, embed, fit_fold_in
from neggen.models.mf import MF
from neggen.testing import checkerboard


def test_the_map_is_a_ridge_regression_on_means() -> None:
    rng = np.random.default_rng(0)
    train = (rng.random((30, 12)) < 0.3).astype(np.float32)
    train[4] = 0  # who has no history teaches nothing
    users, items = (rng.normal(size=(n, 3)).astype(np.float32) for n in (30, 12))
    found = fit_fold_in(csr_matrix(train), torch.from_numpy(users), torch.from_numpy(items))

    active = train.any(1)
    means = (train[active] @ items) / train[active].sum(1, keepdims=True)
    center = means.mean(0)
    weight = RIDGE * np.square(means - center).sum() / means.size
    # Ridge regression as least squares: rows √μ e_k that want zero, and a free offset.
    rows = np.block([[means, np.ones((len(means), 1))], [np.sqrt(weight) * np.eye(3, 4)]])
    wanted = np.concatenate([users[active], np.zeros((3, 3))])
    expected = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    assert np.allclose(found.numpy(), expected, atol=1e-4)

    embedded = embed(csr_matrix(train[active]), torch.from_numpy(items), found).numpy()
    assert np.allclose(embedded, np.c_[means, np.ones(len(means))] @ expected, atol=1e-4)


def test_embeddings_that_follow_from_histories_are_found_again() -> None:
    rng = np.random.default_rng(1)
    train = csr_matrix((rng.random((3000, 20)) < 0.3).astype(np.float32))
    items = torch.from_numpy(rng.normal(size=(20, 4)).astype(np.float32))
    turned = torch.from_numpy(rng.normal(size=(5, 4)).astype(np.float32))
    users = embed(train, items, turned)
    found = embed(train, items, fit_fold_in(train, users, items))
    assert torch.allclose(found, users, atol=0.02)


def test_one_active_user_is_answered_for_all() -> None:
    train = csr_matrix(np.array([[1, 1, 0], [0, 0, 0]], dtype=np.float32))
    items, users = torch.eye(3), torch.tensor([[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]])
    found = embed(train, items, fit_fold_in(train, users, items))
    assert torch.allclose(found[0], users[0])


def test_known_users_are_told_by_their_history() -> None:
    data = checkerboard()
    model = MF(dim=8, learning_rate=0.05, epochs=20).fit(data)
    known = model.score_index(torch.arange(data.shape[0]))
    folded = model.score_histories(data.train)
    together = torch.stack([known.flatten(), folded.flatten()])
    assert torch.corrcoef(together)[0, 1] > 0.9
