"""AHNS, beside the authors' code.

The numbers of ``test_a_step_is_that_of_the_authors`` come from ``LightGCN.forward`` with ``ns =
"ahns"``, n_negs = 3, l2 = 0 in modules/LightGCN.py of github.com/Riwei-HEU/AHNS at 735b0a7.
"""

from __future__ import annotations

import pytest
import torch

from neggen.data.dataset import Dataset
from neggen.negatives import sampler_config
from neggen.negatives.ahns import AHNS, AHNSConfig
from neggen.testing import SamplerContract, refuses


class TestAHNS(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> AHNS:
        return AHNS(AHNSConfig(candidates=4, beta=0.5), data, device)

    def test_takes_the_candidate_nearest_to_the_wanted_score(self) -> None:
        data = self.data()
        batch, draw, by_hop = self.draw(data, times=2)
        final = by_hop.detach().mean(1)
        for row, user in enumerate(batch.users):
            items = final[data.shape[0] :]
            wanted = 0.5 / (final[user] @ items[batch.positives[row]] + 1)
            far = [abs(final[user] @ items[n] - wanted) for n in batch.negatives[row]]
            assert draw.items[row] == batch.negatives[row][far.index(min(far))]
        assert not torch.equal(draw.items, batch.negatives[:, :1])


STEPS = {
    (0, ()): (
        0.225115,
        [
            [-0.01878, 0.19757, -0.03213],
            [-0.03615, -0.0064, 0.0378],
            [0.02808, -0.05422, -0.01411],
            [0.02068, 0.00366, -0.02162],
            [-0.10009, 0.02579, 0.09345],
            [-0.01486, -0.0023, 0.01545],
            [-0.0101, -0.01631, 0.0143],
            [0.10009, -0.02579, -0.09345],
            [0.04237, -0.02855, -0.03502],
            [-0.01742, 0.04717, 0.00526],
        ],
    ),
    (0, (("alpha", 0.5), ("beta", 0.4), ("power", -3))): (
        0.555559,
        [
            [0.18543, 0.31556, -0.26675],
            [-0.03615, -0.0064, 0.0378],
            [0.02808, -0.05422, -0.01411],
            [0.02068, 0.00366, -0.02162],
            [-0.2085, 0.05373, 0.19465],
            [-0.01486, -0.0023, 0.01545],
            [0.1984, -0.07004, -0.18035],
            [0.0, 0.0, 0.0],
            [0.04237, -0.02855, -0.03502],
            [-0.01742, 0.04717, 0.00526],
        ],
    ),
    (2, ()): (
        0.487752,
        [
            [0.01751, 0.09722, -0.04256],
            [-0.01444, -0.00941, 0.01686],
            [0.00727, -0.05971, 0.00812],
            [-0.01625, 0.10536, -0.0109],
            [-0.0308, 0.08085, 0.00997],
            [0.00219, 0.02465, -0.00854],
            [0.01454, -0.03593, -0.00528],
            [0.0004, -0.02708, 0.00658],
            [0.0081, -0.05373, 0.00575],
            [-0.00642, 0.08193, -0.01469],
        ],
    ),
}
"""By layers and settings: the loss and its gradient by the embeddings."""


@pytest.mark.parametrize(("layers", "settings"), STEPS)
def test_a_step_is_that_of_the_authors(tiny, layers: int, settings) -> None:
    loss, gradient = tiny.step(AHNS(AHNSConfig(**dict(settings)), tiny.data), layers)
    expected_loss, expected = STEPS[layers, settings]
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    assert gradient.numpy() == pytest.approx(torch.tensor(expected).numpy(), abs=1e-5)


def test_refuses_hardness_that_rises_with_the_positive() -> None:
    with refuses("sampler.power = 1 is not allowed"):
        sampler_config({"name": "ahns", "power": 1})
