"""MixGCF, beside the authors' code.

The numbers of ``test_a_step_is_that_of_the_authors`` come from ``LightGCN.forward`` with ``ns =
"mixgcf"``, ``pool = "mean"``, n_negs = 3, l2 = 0 and the same random numbers in modules/LightGCN.py
of github.com/huangtinglin/MixGCF at e659f4a.
"""

from __future__ import annotations

import pytest
import torch

from neggen.data.dataset import Dataset
from neggen.negatives import sampler_config
from neggen.negatives.mixgcf import MixGCF, MixGCFConfig
from neggen.negatives.view import View
from neggen.testing import SamplerContract, refuses


class TestMixGCF(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> MixGCF:
        return MixGCF(MixGCFConfig(candidates=4), data, device)

    def test_mixes_as_the_paper_says(self) -> None:
        """By loops, and the choice made among mixed candidates."""
        data = self.data()
        batch, _, by_hop = self.draw(data, times=1)
        nodes, users = by_hop.detach(), data.shape[0]
        view, generator = View(nodes.unbind(1), users), torch.Generator().manual_seed(5)
        draw = self.sampler(data).choose(batch, view, generator)
        shares = torch.rand(len(batch.users), 3, generator=torch.Generator().manual_seed(5))
        for row, user in enumerate(batch.users):
            taken = []
            for hop, share in enumerate(shares[row]):
                positive = nodes[users + batch.positives[row], hop]
                candidates = nodes[users + batch.negatives[row], hop]
                mixed = [share * positive + (1 - share) * each for each in candidates]
                taken.append(max(mixed, key=lambda each: float(nodes[user].mean(0) @ each)))
            expected = sum(taken) / len(taken)
            assert draw.embeddings[row, 0].numpy() == pytest.approx(expected.numpy(), abs=1e-6)


STEPS = {
    0: (
        0.828939,
        [
            [0.18443, 0.31386, -0.26531],
            [-0.04077, -0.00721, 0.04263],
            [0.02676, -0.05166, -0.01344],
            [-0.08492, 0.16397, 0.04267],
            [-0.20737, 0.05344, 0.1936],
            [0.0, 0.0, 0.0],
            [0.19599, -0.07184, -0.17748],
            [0.0, 0.0, 0.0],
            [-0.10968, -0.04788, 0.12202],
            [0.12107, 0.06628, -0.13815],
        ],
    ),
    2: (
        0.571362,
        [
            [0.01818, 0.07802, -0.03828],
            [-0.00692, -0.01771, 0.01148],
            [0.0001, -0.02812, 0.00715],
            [-0.00163, 0.04765, -0.01065],
            [-0.01775, 0.06739, 0.00039],
            [0.00294, 0.01762, -0.00747],
            [0.01295, -0.04037, -0.00255],
            [0.0028, -0.01527, 0.00114],
            [0.01099, -0.01777, -0.00641],
            [-0.01148, 0.02667, 0.0046],
        ],
    ),
}
"""By layers: the loss and its gradient by the embeddings."""


@pytest.mark.parametrize("layers", STEPS)
def test_a_step_is_that_of_the_authors(tiny, layers: int) -> None:
    loss, gradient = tiny.step(MixGCF(MixGCFConfig(), tiny.data), layers)
    expected_loss, expected = STEPS[layers]
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    assert gradient.numpy() == pytest.approx(torch.tensor(expected).numpy(), abs=1e-5)


def test_refuses_no_candidates() -> None:
    with refuses("sampler.candidates = 0 is not allowed"):
        sampler_config({"name": "mixgcf", "candidates": 0})
