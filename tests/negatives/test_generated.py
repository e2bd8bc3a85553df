"""Generated negatives as items: the nearest by loops, and draws among them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from neggen import MF, NegGen
from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.negatives import false_negatives
from neggen.negatives.generated import Generated, GeneratedConfig
from neggen.testing import SamplerContract, all_in_training, checkerboard, refuses


def vectors(items: int, seed: int = 0) -> ItemVectors:
    """Make up vectors of two modalities and two completions, some missing; item 0 has none."""
    rng = np.random.default_rng(seed)
    mask = rng.random((items, 2)) < 0.7
    mask[0], mask[1] = False, True
    positive = rng.normal(size=(items, 2, 4)).astype(np.float32)
    negative = rng.normal(size=(items, 2, 2, 4)).astype(np.float32)
    return ItemVectors(("image", "text"), positive, negative, mask)


def nearest_by_loops(made: ItemVectors, used: list[int], count: int) -> list[list[int]]:
    """Return N(i) of every item, nearest first."""
    found = []
    for i in range(len(made.mask)):
        scores = {}
        for j in used:
            both = [m for m in range(2) if made.mask[i, m] and made.mask[j, m]]
            if j == i or not both:
                continue
            means = []
            for k in range(made.negative.shape[1]):
                cosines = []
                for m in both:
                    a, b = made.negative[i, k, m].astype(float), made.positive[j, m].astype(float)
                    cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
                means.append(np.mean(cosines))
            scores[j] = max(means)
        found.append(sorted(scores, key=scores.__getitem__, reverse=True)[:count])
    return found


class TestGenerated(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> Generated:
        return Generated(GeneratedConfig(nearest=4, negatives=3), data, device)

    def data(self) -> Dataset:
        made = super().data()
        return made.replace(vectors=vectors(made.shape[1]))

    @pytest.mark.parametrize("pairs", [1 << 22, 3 * 14])
    def test_draws_uniformly_among_the_nearest(
        self, pairs: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of N(i), by loops, what the user has not; of all that is left if that is nothing."""
        monkeypatch.setattr(false_negatives, "BLOCK_PAIRS", pairs)  # the blocks change nothing
        monkeypatch.setattr(false_negatives, "LEAST_ROWS", 1)
        data = self.data()
        train = data.train.toarray()
        known = [item for item in range(14) if train[:, item].any()]
        near = nearest_by_loops(data.vectors, known, 4)
        batch, draw, _ = self.draw(data, times=400)
        fell_back = 0
        for user, item in zip(*data.train.nonzero(), strict=True):
            rows = (batch.users == user) & (batch.positives == item)
            options = [other for other in near[item] if not train[user, other]]
            fell_back += not options
            options = options or [other for other in known if not train[user, other]]
            counts = np.bincount(draw.items[rows].flatten(), minlength=14)
            assert counts.sum() == 1200 == counts[options].sum()
            assert len(options) == 1 or chisquare(counts[options]).pvalue > 1e-5
        assert fell_back > 1, "item 0 has no negative, and some user has all that are near"


def test_needs_vectors() -> None:
    data = all_in_training([[1, 0, 1], [0, 1, 0]])
    with refuses("'generated'", "neggen generate"):
        Generated(GeneratedConfig(), data)


@pytest.mark.parametrize("negatives", [1, 4])
def test_models_train_with_it(negatives: int) -> None:
    """The checkerboard's negatives are of the other group, as are the items drawn then."""
    data = checkerboard()
    sampler = {"name": "generated", "negatives": negatives}
    MF(sampler=sampler, dim=4, epochs=2).fit(data)
    NegGen(sampler=sampler, dim=8, epochs=1, base={"dim": 4, "epochs": 1}).fit(data)
    made = Generated(GeneratedConfig(negatives=negatives), data)
    users, items = (torch.from_numpy(each).long() for each in data.train.nonzero())
    drawn = made.propose(users, items, torch.Generator().manual_seed(0))
    assert drawn.shape == (len(users), negatives)
    group = torch.tensor([int(name[-2:]) % 2 for name in data.item_ids])
    assert (group[drawn] != group[items][:, None]).all()
