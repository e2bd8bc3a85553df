"""A simple encoder for variants that write new texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray


class WordEncoder:
    """Counts hashed words."""

    name, fingerprint = "words", "w" * 64

    def encode(self, texts: Sequence[str], on_progress: object = None) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, hashlib.sha256(word.encode()).digest()[0] % 64] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def word_encoder() -> WordEncoder:
    return WordEncoder()
