"""The text encoder of a workspace, for the new texts of data variants."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from neggen.encoding.store import VectorStore
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.workspace import Workspace, read_toml


class KeptEncoder(TextEncoder):
    """Encodes as the workspace's vectors were encoded, every text once, also across processes."""

    def __init__(self, workspace: Workspace, device: str) -> None:
        """Find out which encoder it was; see :class:`TextEncoder` for the device."""
        self._manifest = read_toml(workspace.vectors_manifest_path)
        super().__init__(self._manifest["encoder"], device=device)
        name = f"{self.fingerprint[:16]}.safetensors"
        self._path = workspace.studies_dir / "cache" / "vectors" / name

    @property
    def fingerprint(self) -> str:
        """That of the workspace's vectors; the encoder's own is compared when it is needed."""
        return str(self._manifest["fingerprint"])

    def encode(
        self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Encode texts; see :meth:`TextEncoder.encode`.

        Raises:
            NegGenError: If the encoder is not the one of the workspace's vectors any more.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path.with_suffix(".lock")):
            store = VectorStore(self._path)
            if missing := store.missing(texts):
                if super().fingerprint != self.fingerprint:
                    raise NegGenError(
                        f"The encoder '{self.name}' has other weights than when the workspace was "
                        "encoded; run neggen encode again."
                    )
                store.add(missing, super().encode(missing, on_progress))
            return store.get(texts)
