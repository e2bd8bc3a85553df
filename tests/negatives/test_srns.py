"""SRNS, beside the authors' code.

What ``test_chooses_like_the_authors`` expects was chosen by ``training_batch`` of
SRNS_real/SRNS_main.py in github.com/dingjingtao/SRNS at 40703a9, with dot products for its model.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from neggen.data.dataset import Dataset
from neggen.negatives import sampler_config
from neggen.negatives.base import Batch
from neggen.negatives.srns import SRNS, SRNSConfig
from neggen.negatives.view import View
from neggen.testing import SamplerContract, all_in_training, refuses


class TestSRNS(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> SRNS:
        return SRNS(SRNSConfig(memory=3, candidates=4), data, device)


@pytest.mark.parametrize(
    ("done", "alpha", "expected"),
    [
        (0, 5.0, [2, 4, 5, 4]),
        (2, 5.0, [2, 4, 5, 4]),
        (60, 5.0, [2, 5, 0, 1]),
        (60, 13.2, [2, 5, 0, 1]),
        (60, 14.5, [5, 5, 0, 1]),
    ],
)
def test_chooses_like_the_authors(tiny, done: int, alpha: float, expected: list[int]) -> None:
    sampler = SRNS(SRNSConfig(memory=3, alpha=alpha), tiny.data)
    sampler.prepare(3, seed=0)
    sampler.begin_epoch(1)
    compared = min(done, 5)
    for number in range(compared):  # the embeddings that each of the epochs ended with
        past = torch.sin((1.7 + 0.05 * number) * torch.arange(1, 31)).view(10, 3)
        sampler.begin_epoch(done - compared + number + 2)
        sampler.choose(tiny.batch, View((past,), 4), torch.Generator())
    sampler.memory.copy_(tiny.batch.negatives)
    draw = sampler.choose(tiny.batch, View((tiny.nodes,), 4), torch.Generator())
    assert draw.items[:, 0].tolist() == expected


def same_users(users: int) -> tuple[SRNS, Batch]:
    """Return users of item 0 who remember 1 and 2, and are offered 2, 3 and 3 again."""
    dense = np.eye(5)[np.zeros(users, dtype=int)]
    data = all_in_training(np.concatenate([dense, np.eye(5)]))
    sampler = SRNS(SRNSConfig(memory=2, temperature=2), data)
    sampler.prepare(1, seed=0)
    sampler.begin_epoch(1)
    sampler.memory[:] = torch.tensor([1, 2])
    rows = torch.arange(users)
    return sampler, Batch(rows, torch.zeros_like(rows), torch.tensor([[2, 3, 3]] * users))


def test_the_memory_is_renewed_by_the_softmax_without_replacement() -> None:
    sampler, batch = same_users(4000)
    nodes = torch.ones(4005 + 5, 1)
    nodes[4005:, 0] = torch.tensor([0.0, 1.0, 2.0, 4.0, 9.0])
    sampler.choose(batch, View((nodes,), 4005), torch.Generator().manual_seed(1))
    found = sampler.memory[:4000].sort(1).values
    weight = {item: np.exp(score / 2) for item, score in ((1, 1), (2, 2), (3, 4))}
    total = sum(weight.values())
    for pair in ((1, 2), (1, 3), (2, 3)):
        chance = sum(
            weight[a] / total * weight[b] / (total - weight[a]) for a, b in permutations(pair)
        )
        share = (found == torch.tensor(pair)).all(1).float().mean()
        assert float(share) == pytest.approx(chance, abs=0.025)


def test_a_user_of_several_rows_learns_from_the_first() -> None:
    sampler, _ = same_users(3)
    sampler.config = sampler.config.updated(temperature=1e-6)  # the highest scores are kept
    nodes = torch.ones(8 + 5, 1)
    nodes[8:, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    users, none = torch.tensor([1, 0, 1]), torch.zeros(3, dtype=torch.long)
    batch = Batch(users, none, torch.tensor([[3], [1], [4]]))
    draw = sampler.choose(batch, View((nodes,), 8), torch.Generator())
    assert draw.items[:, 0].tolist() == [2, 2, 2]  # from the memory as it was
    assert sampler.memory[:3].sort(1).values.tolist() == [[1, 2], [2, 3], [1, 2]]


def test_refuses_no_memory() -> None:
    with refuses("sampler.memory = 0 is not allowed"):
        sampler_config({"name": "srns", "memory": 0})
