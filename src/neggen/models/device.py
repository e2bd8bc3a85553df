"""Where a model lives."""

from __future__ import annotations

import torch

from neggen.errors import NegGenError, first_line


def check_device(device: str) -> None:
    """Check that tensors can live on a device.

    Raises:
        NegGenError: If not, with torch's reason.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise NegGenError(
            f"The device '{device}' cannot be used here ({first_line(error)})."
        ) from None
