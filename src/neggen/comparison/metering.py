"""What a piece of work costs: wall time and peak memory."""

from __future__ import annotations

import ctypes
import gc
import re
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

MIB = 2**20


class Meter:
    """Measures a block of work.

    Attributes:
        seconds: its wall time.
        peak_mib: the most memory it held at once above what was held when it began. On CUDA what
            PyTorch allocated on the device; on a CPU the resident memory of this process, which
            only Linux tells of a block, so that it is None elsewhere.
    """

    def __init__(self, device: str) -> None:
        self._cuda = torch.device(device) if device != "cpu" else None
        self.seconds = 0.0
        self.peak_mib: float | None = None

    def __enter__(self) -> Self:
        gc.collect()
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)
            torch.cuda.reset_peak_memory_stats(self._cuda)
            self._before: float | None = torch.cuda.memory_allocated(self._cuda) / MIB
        else:
            self._before = _begin_resident()
        self._started = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._cuda is not None:
            torch.cuda.synchronize(self._cuda)
        self.seconds = time.monotonic() - self._started
        if self._before is None:
            return
        if self._cuda is not None:
            peak = torch.cuda.max_memory_allocated(self._cuda) / MIB
        else:
            peak = _resident("VmHWM")
        self.peak_mib = round(max(0.0, peak - self._before), 1)


def _begin_resident() -> float | None:
    """Hand freed memory back, set the peak to what is resident, and return that in MiB, if known.

    Without the first, a fit would seem to need nothing where it takes over what an earlier one
    left behind.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _resident("VmRSS")
    except (AttributeError, OSError):  # no Linux, another C library, or a container without it
        return None


def _resident(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    if found is None:
        raise OSError(f"/proc/self/status has no {name}")
    return int(found[1]) / 1024
