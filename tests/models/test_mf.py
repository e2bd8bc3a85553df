"""Matrix factorization against a loop over the batch, and which modules divide a batch by rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from neggen.config import LightGCNConfig, MFConfig
from neggen.models.content_lightgcn import ContentLightGCNConfig, ContentLightGCNModule
from neggen.models.freedom import FREEDOMConfig, FREEDOMModule
from neggen.models.frozen_graph import FrozenGraphConfig, FrozenGraphModule
from neggen.models.grcn import GRCNConfig, GRCNModule
from neggen.models.lattice import LATTICEConfig, LATTICEModule
from neggen.models.lgmrec import LGMRecConfig, LGMRecModule
from neggen.models.lightgcn import LightGCNModule
from neggen.models.mf import MF, MFModule
from neggen.models.mmgcn import MMGCNConfig, MMGCNModule
from neggen.models.vbpr import VBPRConfig, VBPRModule
from neggen.negatives.base import Batch
from neggen.testing import checkerboard, triples


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


def modules_of(problem) -> dict[str, MFModule]:
    """Modules that rank by pairs, on the same problem, with weights that are all but small."""
    train, features = problem.interactions, problem.features
    few = {"dim": 4, "regularization": 0.3}
    by_graphs = {
        "freedom": (FREEDOMModule, FREEDOMConfig(**few, neighbors=3, feature_weight=0.3)),
        "lattice": (LATTICEModule, LATTICEConfig(**few, neighbors=3)),
    }
    content = features["text"].values
    of_content = {
        "frozen-graph": (FrozenGraphModule, FrozenGraphConfig(**few, neighbors=3)),
        "lightgcn-content": (ContentLightGCNModule, ContentLightGCNConfig(**few)),
    }
    of_features = {
        "vbpr": (VBPRModule, VBPRConfig(**few)),
        "grcn": (GRCNModule, GRCNConfig(**few)),
        "mmgcn": (MMGCNModule, MMGCNConfig(**few)),
        "lgmrec": (LGMRecModule, LGMRecConfig(**few)),
    }
    return {
        "mf": problem.filled(MFModule(train, MFConfig(**few))),
        "lightgcn": problem.filled(LightGCNModule(train, LightGCNConfig(**few))),
        **{name: problem.with_graphs(*parts) for name, parts in by_graphs.items()},
        **{
            name: problem.filled(cls(train, content, config))
            for name, (cls, config) in of_content.items()
        },
        **{
            name: problem.filled(cls(train, features, config))
            for name, (cls, config) in of_features.items()
        },
    }


def test_rows_are_divided_only_where_the_loss_is_their_mean(small) -> None:
    batch = small.batch
    parts = [Batch(*(column[rows] for column in batch)) for rows in (slice(3), slice(3, None))]
    modules = modules_of(small)
    for name, module in modules.items():
        if not module.by_row:
            continue
        module.begin_epoch(1, torch.Generator().manual_seed(0))
        whole, *halves = (module.loss(some, torch.Generator()).item() for some in (batch, *parts))
        mean = sum(len(part.users) * half for part, half in zip(parts, halves, strict=True)) / len(
            batch.users
        )
        assert whole == pytest.approx(mean, rel=1e-5), name
    divided = {name for name, module in modules.items() if module.by_row}
    assert divided == set(modules) - {"vbpr", "grcn", "mmgcn", "lgmrec"}


def test_cosines_rank_if_they_are_told_to() -> None:
    data = checkerboard()
    few = {"dim": 8, "epochs": 3, "sampler": "in-batch", "loss": "ssm"}
    by_dot, by_cosine = (MF(similarity=name, **few).fit(data) for name in ("dot", "cosine"))
    for part in by_cosine.factors():
        assert torch.allclose(part.norm(dim=1), torch.ones(len(part)))
    assert by_dot.factors()[0].norm(dim=1).std() > 1e-3
    first, other = (model.history["mf"] for model in (by_dot, by_cosine))
    assert first[1].loss == other[1].loss, "training is the same"
