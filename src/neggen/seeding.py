"""Random initial weights that follow a seed, and leave everybody else's random numbers alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's own generator on the CPU for a block, and restore it after.

    Generators of GPUs stay as they are; weights are drawn on the CPU, alike for every device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
