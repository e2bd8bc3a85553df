"""Dynamic negative sampling, beside a loop of the rule and the code of DNS(M, N)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare

from neggen import MF, NegGen
from neggen.data.dataset import Dataset
from neggen.negatives.base import Batch
from neggen.negatives.dns import DNS, DNSConfig
from neggen.negatives.view import View
from neggen.testing import SamplerContract, refuses


class TestDNS(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> DNS:
        return DNS(DNSConfig(candidates=5, top=2), data, device)

    def test_takes_one_of_the_best(self) -> None:
        data = self.data()
        batch, draw, by_hop = self.draw(data)
        assert batch.negatives.shape == (len(batch.users), 5)
        assert draw.embeddings is None
        nodes = by_hop.detach().mean(1)
        for user, candidates, (taken,) in zip(
            batch.users.tolist(), batch.negatives.tolist(), draw.items.tolist(), strict=True
        ):
            best = sorted(candidates, key=lambda i: float(nodes[user] @ nodes[9 + i]))[-2:]
            assert taken in best


@pytest.mark.parametrize("top", [2, 3])
def test_each_of_the_best_is_equally_likely(tiny, top: int) -> None:
    rows = 6000
    batch = Batch(*(torch.zeros(rows, dtype=torch.long),) * 2, torch.tensor([[5, 2, 4, 3]] * rows))
    scores = torch.tensor([[1.0], [0], [0], [0], [9], [9], [0.5], [-1], [0.7], [0.1]])
    sampler = DNS(DNSConfig(candidates=4, top=top), tiny.data)
    taken = sampler.choose(batch, View((scores,), 4), torch.Generator().manual_seed(0)).items
    counts = np.bincount(taken[:, 0], minlength=6)  # items 4, 2, 5 and 3 score .7, .5, .1 and −1
    assert counts[[4, 2, 5][:top]].sum() == rows
    assert chisquare(counts[[4, 2, 5][:top]]).pvalue > 1e-3


@pytest.mark.parametrize(("top", "summed"), [(1, 2.6144285), (2, 4.3963132), (3, 5.6685286)])
def test_its_expected_loss_is_that_of_the_authors(tiny, top: int, summed: float) -> None:
    # What loss_function(…, loss_type=1, lambda_w=M) of model.py, github.com/swt-user/WWW_2023_code
    # at dd00aad, returned for these scores: a sum over the M best of N = 5 and over two rows.
    scores = torch.tensor([[0.3, -0.5, 1.2, 0.9, 0.1], [2.0, 0.4, -1.0, 0.7, 1.1]])
    positive, rows = torch.tensor([0.8, 0.5]), 20_000
    nodes = torch.cat([torch.eye(2), scores.T])  # two users, then items
    users = torch.arange(2).repeat(rows)
    batch = Batch(users, users, torch.arange(5).expand(2 * rows, 5))
    sampler = DNS(DNSConfig(candidates=5, top=top), tiny.data)
    taken = sampler.choose(batch, View((nodes,), 2), torch.Generator().manual_seed(0)).items[:, 0]
    losses = F.softplus(scores[users, taken] - positive[users]).view(rows, 2)
    assert top * losses.mean(0).sum() == pytest.approx(summed, rel=1e-5 if top == 1 else 0.01)


def dense_final(data: Dataset, nodes: torch.Tensor, layers: int) -> torch.Tensor:
    """Propagate as equation 7 of LightGCN says, with a dense matrix; no layer is MF."""
    train = torch.from_numpy(data.train.toarray()).double()
    users, items = train.shape
    adjacency = torch.zeros(users + items, users + items, dtype=torch.float64)
    adjacency[:users, users:], adjacency[users:, :users] = train, train.T
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    adjacency = scale[:, None] * adjacency * scale
    hops = [nodes]
    for _ in range(layers):
        hops.append(adjacency @ hops[-1])
    return torch.stack(hops).mean(0)


@pytest.mark.parametrize("layers", [0, 2])
def test_a_step_by_a_loop(tiny, layers: int) -> None:
    """MF and LightGCN, from the rule and BPR's equation, in double precision."""
    loss, gradient = tiny.step(DNS(DNSConfig(candidates=3), tiny.data), layers)
    nodes = tiny.nodes.double().requires_grad_()
    final = dense_final(tiny.data, nodes, layers)
    total = torch.zeros((), dtype=torch.float64)
    for user, positive, candidates in zip(*(each.tolist() for each in tiny.batch), strict=True):
        hardest = max(candidates, key=lambda i: (final[user] @ final[4 + i]).item())
        margin = final[user] @ (final[4 + positive] - final[4 + hardest])
        total = total - torch.log(1 / (1 + torch.exp(-margin))) / 4
    total.backward()
    assert loss == pytest.approx(total.item(), rel=1e-5)
    np.testing.assert_allclose(gradient, nodes.grad, atol=1e-6)


def test_what_makes_no_sense_is_refused() -> None:
    with refuses("top 17 of 16"):
        MF(sampler={"name": "dns", "top": 17})
    with refuses("'dns'", "take uniform"):
        NegGen(sampler="dns")
    with refuses("'ssm'", "'dns' gives it 1"):
        MF(sampler="dns", loss="ssm")
