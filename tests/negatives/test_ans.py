"""ANS, beside the authors' code.

The numbers of ``test_a_step_is_that_of_the_authors`` come from ``ANS.calculate_loss`` with
sample_num = 3, reg_weight = 0 and the same random numbers in
recbole/model/general_recommender/ans.py of github.com/Asa9aoTK/ANS-Recbole at 6adeb65: for MF
(n_layers = 0) the loss as it stands; for LightGCN the negatives and the losses of the gates, with
BPR on means over hops in place of their sums.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from neggen.data.dataset import Dataset
from neggen.negatives import sampler_config
from neggen.negatives.ans import ANS, ANSConfig
from neggen.negatives.view import View
from neggen.testing import SamplerContract, refuses


class TestANS(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> ANS:
        return ANS(ANSConfig(candidates=4, epsilon=30), data, device)

    def test_augments_as_the_formulas_say(self) -> None:
        """By loops."""
        data = self.data()
        batch, _, by_hop = self.draw(data, times=1)
        nodes, users = by_hop.detach(), data.shape[0]
        sampler = self.sampler(data)
        sampler.prepare(nodes.shape[2], seed=0)
        view, generator = View(nodes.unbind(1), users), torch.Generator().manual_seed(5)
        draw = sampler.choose(batch, view, generator)
        shape = (*batch.negatives.shape, *nodes.shape[1:])
        uniform = torch.rand(shape, generator=torch.Generator().manual_seed(5))
        gates, differs = sampler.gates, 0
        for row, user in enumerate(batch.users):
            taken = []
            for hop in range(nodes.shape[1]):
                u, p = nodes[user, hop], nodes[users + batch.positives[row], hop]
                made = {}
                for place, item in enumerate(batch.negatives[row]):
                    n = nodes[users + item, hop]
                    g = torch.sigmoid(gates["item"](n) * gates["user"](u))
                    length = 0.1 * torch.sigmoid(1 / gates["margin"](n * g * p * g))
                    unit = F.normalize(uniform[row, place, hop], dim=0)
                    e = n + length * unit * torch.sign((p - p * g) - (n - n * g))
                    made[(u @ e + 30 * (u @ e - u @ n)).item()] = (e, int(item))
                taken.append(made[max(made)])
            expected = sum(e for e, _ in taken) / len(taken)
            assert draw.items[row] == taken[0][1]
            found = draw.embeddings[row, 0].detach()
            assert found.numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)
            differs += len({item for _, item in taken}) > 1
        assert differs > 0, "hops choose on their own"


STEPS = {
    (0, 1.0): (
        1.023761,
        0.049619,
        [
            [0.18466, 0.30585, -0.24818],
            [-0.05082, -0.01655, 0.04805],
            [0.02309, -0.05115, -0.01422],
            [-0.06551, 0.16907, 0.02067],
            [-0.20397, 0.0327, 0.19496],
            [0.0018, -0.00655, -0.00674],
            [0.20494, -0.05835, -0.19094],
            [-0.00696, 0.00749, -0.0014],
            [-0.11279, -0.02662, 0.12479],
            [0.1117, 0.05062, -0.13205],
        ],
    ),
    (2, 20.0): (
        0.611946,
        0.026338,
        [
            [-0.02876, 0.02461, 0.02348],
            [-0.02817, -0.01448, 0.03384],
            [-0.00088, -0.04963, 0.00647],
            [0.01732, 0.05167, -0.03025],
            [-0.03127, 0.01066, 0.02546],
            [-0.0208, -0.00676, 0.02114],
            [-0.01512, -0.00352, 0.01613],
            [-0.00142, -0.00735, 0.00231],
            [0.01405, -0.02129, -0.00626],
            [0.01853, 0.02472, -0.0313],
        ],
    ),
}
"""By layers and ε, with γ = 0.1: the loss, the length of its gradient by all gates, and its
gradient by the embeddings."""


@pytest.mark.parametrize(("layers", "epsilon"), STEPS)
def test_a_step_is_that_of_the_authors(tiny, layers: int, epsilon: float) -> None:
    sampler = ANS(ANSConfig(epsilon=epsilon, gamma=0.1), tiny.data)
    loss, gradient = tiny.step(sampler, layers)
    expected_loss, expected_length, expected = STEPS[layers, epsilon]
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    assert gradient.numpy() == pytest.approx(torch.tensor(expected).numpy(), abs=1e-5)
    length = torch.cat([each.grad.flatten() for each in sampler.parameters()]).norm()
    assert float(length) == pytest.approx(expected_length, abs=1e-5)


def test_refuses_a_gain_that_repels() -> None:
    with refuses("sampler.epsilon = -1 is not allowed"):
        sampler_config({"name": "ans", "epsilon": -1})
