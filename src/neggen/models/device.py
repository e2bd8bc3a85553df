"""Where a model lives."""

from __future__ import annotations

import torch

from neggen.errors import NegGenError, TooLittleMemory, first_line


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


def lacks_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory was not enough, here or on a GPU."""
    if isinstance(error, (MemoryError, TooLittleMemory, torch.OutOfMemoryError)):
        return True
    # What torch raises on a CPU has no class of its own.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
