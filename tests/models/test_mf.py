"""Matrix factorization against a loop over the batch."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_matrix

from neggen.config import MFConfig
from neggen.models.mf import MFModule
from neggen.testing import triples


def test_loss_and_gradient_are_those_of_bpr() -> None:
    rng = np.random.default_rng(0)
    train = csr_matrix((rng.random((7, 9)) < 0.5).astype(np.float32))
    module = MFModule(train, MFConfig(dim=5, regularization=0.1, seed=4))
    batch = triples(*(torch.from_numpy(rng.integers(0, high, 11)) for high in (7, 9, 9)))
    table = module.nodes.detach().double().requires_grad_()
    expected = torch.zeros((), dtype=torch.float64)
    for u, i, j in zip(*(part.flatten().tolist() for part in batch), strict=True):
        user, liked, other = table[u], table[7 + i], table[7 + j]
        penalty = 0.1 / 2 * (user @ user + liked @ liked + other @ other)
        expected = expected - torch.log(torch.sigmoid(user @ liked - user @ other)) + penalty
    expected = expected / 11
    loss = module.loss(batch, torch.Generator())
    assert abs(loss.item() - expected.item()) < 1e-6
    loss.backward()
    expected.backward()
    assert torch.allclose(module.nodes.grad.double(), table.grad, atol=1e-7)
    users, items = module.embeddings()
    assert torch.equal(torch.cat([users, items]), module.nodes)
