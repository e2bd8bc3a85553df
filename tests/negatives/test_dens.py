"""DENS, beside the authors' code.

The numbers of ``test_a_step_is_that_of_the_authors`` come from ``LightGCN.forward`` with ``ns =
"dens"``, ``pool = "mean"``, n_negs = 3, l2 = 0 in DENS/modules/LightGCN.py of
github.com/Riwei-HEU/DENS at 4c32d72.
"""

from __future__ import annotations

import pytest
import torch

from neggen.data.dataset import Dataset
from neggen.negatives import sampler_config
from neggen.negatives.dens import DENS, DENSConfig
from neggen.negatives.view import View
from neggen.testing import SamplerContract, refuses


class TestDENS(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> DENS:
        return DENS(DENSConfig(candidates=4), data, device)

    @pytest.mark.parametrize("epoch", [1, 51, 300])
    def test_takes_by_irrelevant_factors_then_by_low_relevance(self, epoch: int) -> None:
        """By loops from the formulas."""
        data = self.data()
        batch, _, by_hop = self.draw(data, times=1)
        nodes, users = by_hop.detach(), data.shape[0]
        sampler = self.sampler(data)
        sampler.prepare(nodes.shape[2], seed=0)
        sampler.begin_epoch(epoch)
        view = View(nodes.unbind(1), users)
        draw = sampler.choose(batch, view, torch.Generator())
        own, gates = {1: 1, 51: 0.5, 300: 0}[epoch], sampler.gates
        for row, user in enumerate(batch.users):
            taken = []
            for hop in range(nodes.shape[1]):
                u, p = nodes[user, hop], nodes[users + batch.positives[row], hop]
                r_p = p * torch.sigmoid(gates["item"](p) + gates["user"](u))
                values = {}
                for item in batch.negatives[row]:
                    n = nodes[users + item, hop]
                    r_n = n * torch.sigmoid(gates["negative"](n) + gates["positive"](r_p))
                    values[int(item)] = (u @ (own * n - r_n)).item()
                taken.append(max(values, key=lambda item: values[item]))
            expected = sum(nodes[users + item, hop] for hop, item in enumerate(taken)) / len(taken)
            assert draw.items[row] == taken[0]
            assert draw.embeddings[row, 0].numpy() == pytest.approx(expected.numpy(), abs=1e-6)


STEPS = {
    (0, 0): (
        1.005294,
        0.040692,
        [
            [0.21226, 0.33457, -0.26838],
            [-0.0255, -0.02255, 0.02395],
            [0.0221, -0.06813, -0.00704],
            [-0.09865, 0.18701, 0.0479],
            [-0.19391, 0.08546, 0.18259],
            [0.0, 0.0, 0.0],
            [0.2327, -0.05016, -0.1832],
            [0.0, 0.0, 0.0],
            [-0.12256, -0.07783, 0.13622],
            [0.1209, 0.0839, -0.12902],
        ],
    ),
    (2, 30): (
        0.594392,
        0.019322,
        [
            [-0.01256, 0.09467, -0.00895],
            [-0.01713, -0.02525, 0.01976],
            [0.01914, -0.07882, -0.00024],
            [-0.02437, 0.11554, -0.00368],
            [-0.01879, 0.09812, 0.00069],
            [-0.00364, 0.02329, -0.00041],
            [-0.01205, -0.02088, 0.01772],
            [0.0232, -0.05025, -0.00746],
            [-0.00271, -0.07766, 0.01942],
            [-0.00273, 0.09813, -0.0155],
        ],
    ),
    (2, 120): (
        0.421383,
        0.020535,
        [
            [-0.02874, 0.06295, 0.00871],
            [-0.02397, -0.01804, 0.01786],
            [0.03956, -0.03883, -0.02151],
            [0.0128, 0.04271, -0.00779],
            [-0.02148, 0.04832, 0.01183],
            [-0.02843, 0.0272, 0.01354],
            [-0.03022, -0.01825, 0.02401],
            [0.02374, -0.02827, -0.01287],
            [0.02086, -0.02657, -0.0096],
            [0.02174, 0.02834, -0.01329],
        ],
    ),
}
"""By layers and epochs done: the loss, the length of its gradient by all gates, and its gradient by
the embeddings."""


@pytest.mark.parametrize(("layers", "done"), STEPS)
def test_a_step_is_that_of_the_authors(tiny, layers: int, done: int) -> None:
    sampler = DENS(DENSConfig(), tiny.data)
    loss, gradient = tiny.step(sampler, layers, epoch=done + 1)
    expected_loss, expected_length, expected = STEPS[layers, done]
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    assert gradient.numpy() == pytest.approx(torch.tensor(expected).numpy(), abs=1e-5)
    length = torch.cat([each.grad.flatten() for each in sampler.parameters()]).norm()
    assert float(length) == pytest.approx(expected_length, abs=1e-5)


def test_gates_that_learn_nothing_cost_nothing(tiny) -> None:
    sampler = DENS(DENSConfig(gamma=0), tiny.data)
    tiny.step(sampler, 2)
    assert all(each.grad is None for each in sampler.parameters())


def test_gates_follow_their_seed_alone(tiny) -> None:
    def first(seed: int) -> torch.Tensor:
        sampler = DENS(DENSConfig(), tiny.data)
        torch.rand(1)  # moves the global generator
        sampler.prepare(3, seed)
        return sampler.gates["user"].weight.detach()

    assert first(1).equal(first(1))
    assert not first(1).equal(first(2))


def test_refuses_no_warmup() -> None:
    with refuses("sampler.warmup = 0 is not allowed"):
        sampler_config({"name": "dens", "warmup": 0})
