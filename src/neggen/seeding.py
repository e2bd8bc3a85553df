"""Random initial weights that follow a seed, and leave everybody else's random numbers alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, stream: int = 0) -> Iterator[None]:
    """Seed torch's own generator on the CPU for a block, and restore it after.

    Generators of GPUs stay as they are; weights are drawn on the CPU, alike for every device.

    Args:
        seed: that of the training.
        stream: which weights are drawn, so that none repeat others: 0 the embeddings, 1 what a
            model adds to them, 2 what a sampler learns.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed + stream)
        yield
