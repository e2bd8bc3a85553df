"""The uniform sampler."""

from __future__ import annotations

from neggen.data.dataset import Dataset
from neggen.negatives.uniform import Uniform, UniformConfig
from neggen.testing import SamplerContract


class TestUniform(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> Uniform:
        return Uniform(UniformConfig(negatives=3), data, device)

    def test_gives_as_many_as_it_says(self) -> None:
        batch, draw, _ = self.draw(self.data())
        assert draw.items.shape == (len(batch.users), 3)
