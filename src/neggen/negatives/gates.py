"""The layers of samplers that take embeddings apart by learned gates."""

from __future__ import annotations

import torch
from torch import nn

from neggen.seeding import seeded


def linear_layers(dim: int, seed: int, device: torch.device, **outputs: int) -> nn.ModuleDict:
    """Return layers by name, initialized as torch does, whose own generator stays as it was.

    Args:
        dim: the width of what they take.
        seed: that of their weights.
        device: where they live.
        outputs: the width of what each gives.
    """
    with seeded(seed, stream=2):
        layers = {name: nn.Linear(dim, width) for name, width in outputs.items()}
    return nn.ModuleDict(layers).to(device)
