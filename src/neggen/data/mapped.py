"""Arrays that stay on disk: read through the page cache, so that they may exceed the memory."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from neggen.errors import NegGenError

DTYPES = {"F32": "<f4", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
IN_MEMORY = 256 * 2**20
"""Bytes up to which an array is held in memory."""


def mapped_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file by name, mapped: nothing is read before it is used.

    What is written into them stays in memory; the file does not change.

    Raises:
        SafetensorError: If the file is damaged.
        KeyError: If an array is of a type that is never written here.
    """
    with safe_open(path, framework="numpy"):
        pass  # which checks everything about the header, and the size of the file
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(header_size))
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"])
        if 0 in shape:
            arrays[name] = np.zeros(shape, dtype=dtype)
            continue
        start = 8 + header_size + entry["data_offsets"][0]
        arrays[name] = np.asarray(np.memmap(path, dtype, mode="c", offset=start, shape=shape))
    return arrays


def zeros(shape: tuple[int, ...], folder: Path | None) -> NDArray[np.float32]:
    """Return float32 zeros of a shape, to be written to.

    Args:
        shape: of the array.
        folder: where a large one lies, in a file without a name that is gone with the array; where
            nothing may be written, it lies among the system's temporary files. None holds it in
            memory whatever its size.

    Raises:
        NegGenError: If the folder has not enough room.
    """
    size = 4 * int(np.prod(shape))
    if folder is None or size <= IN_MEMORY:
        return np.zeros(shape, dtype=np.float32)
    if not os.access(folder, os.W_OK):
        folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise NegGenError(
            f"Vectors of {size / 1e9:,.1f} GB are laid out in {folder}, where {free / 1e9:,.1f} GB "
            f"are free; make room there."
        )
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(size)
        return np.asarray(np.memmap(file, np.float32, mode="r+", shape=shape))
