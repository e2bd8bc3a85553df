"""Vectors on disk, addressed by the content of the text they encode.

One safetensors file an encoder holds the SHA-256 of every text and its vector. A text is encoded
once, whichever records it appears in; a changed record simply asks for another key, so nothing
can be stale. New vectors are written beside it, each chunk once, and become part of it when they
are as many: a file of millions is not written anew for every chunk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from neggen.data.mapped import mapped_arrays
from neggen.errors import NegGenError
from neggen.workspace import Workspace, atomic_path

Piece = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Keys ``[texts, 32]`` and vectors ``[texts, d]``."""


def vectors_path(workspace: Workspace, fingerprint: str) -> Path:
    """Return where a workspace keeps what an encoder made."""
    return workspace.vectors_dir / f"{fingerprint[:16]}.safetensors"


class VectorStore:
    """The vectors of one encoder: a mapping from text to vector."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, and what was written beside it, if they exist.

        Raises:
            NegGenError: If a file is damaged.
        """
        self.path = path
        self._rows: dict[bytes, int] = {}
        self._pieces: list[Piece] = []
        if path.is_file():
            self._append(_read(path))
        for part in self._parts():
            keys, vectors = _read(part)
            if keys[0].tobytes() not in self._rows:  # else a kill came before it was deleted
                self._append((keys, vectors))

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the distinct texts that have no vector yet, in order of first appearance."""
        return [text for text in dict.fromkeys(texts) if _key(text) not in self._rows]

    def add(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep vectors ``[texts, d]`` of new texts on disk."""
        keys = np.frombuffer(b"".join(map(_key, texts)), dtype=np.uint8).reshape(-1, 32)
        start = self._count()
        self._append((keys, np.asarray(vectors, dtype=np.float32)))
        if self.path.is_file() and self._count() < 2 * len(self._pieces[0][0]):
            _write(self.path.with_suffix(f".{start:010}.part"), self._pieces[-1:])
        else:
            self.merge()

    def merge(self) -> None:
        """Make one file of what was written."""
        if not self._pieces or (len(self._pieces) == 1 and self.path.is_file()):
            return
        _write(self.path, self._pieces)
        for part in self._parts():
            part.unlink()
        self._pieces = [_read(self.path)]

    def get(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of texts that are all known, float32 ``[texts, d]``."""
        rows = np.array([self._rows[_key(text)] for text in texts], dtype=np.int64)
        width = self._pieces[0][1].shape[1] if self._pieces else 0
        found = np.empty((len(rows), width), dtype=np.float32)
        start = 0
        for _, vectors in self._pieces:
            here = (rows >= start) & (rows < start + len(vectors))
            found[here] = vectors[rows[here] - start]
            start += len(vectors)
        return found

    def _append(self, piece: Piece) -> None:
        keys, start = piece[0], self._count()
        self._rows.update((key.tobytes(), start + row) for row, key in enumerate(keys))
        self._pieces.append(piece)

    def _count(self) -> int:
        return sum(len(keys) for keys, _ in self._pieces)

    def _parts(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.stem}.*.part"))


def _read(path: Path) -> Piece:
    try:
        arrays = mapped_arrays(path)
        return arrays["keys"], arrays["vectors"]
    except (SafetensorError, KeyError) as error:
        raise NegGenError(
            f"{path} is damaged ({error}); delete it and run neggen encode again."
        ) from None


def _write(path: Path, pieces: Sequence[Piece]) -> None:
    """Write pieces as one safetensors file, without holding them all in memory."""
    count = sum(len(keys) for keys, _ in pieces)
    header: dict[str, Any] = {}
    start = 0
    for name, dtype, array in (("vectors", "F32", pieces[0][1]), ("keys", "U8", pieces[0][0])):
        width = array.shape[1]
        end = start + count * width * array.itemsize
        header[name] = {"dtype": dtype, "shape": [count, width], "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in _in_order(pieces):
            file.write(np.ascontiguousarray(array).data)


def _in_order(pieces: Sequence[Piece]) -> Iterable[NDArray[Any]]:
    yield from (vectors for _, vectors in pieces)
    yield from (keys for keys, _ in pieces)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
