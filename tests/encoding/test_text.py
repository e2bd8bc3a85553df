"""The embedded encoder, for real and offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError

TEXTS = [
    "A red mug with white dots.",
    "A crimson cup, dotted in white.",
    "A blue armchair of walnut and linen with slim legs, made by hand in a small workshop.",
    "",
    "Kopfhörer 耳机 🎧",
]


def test_vectors_have_unit_length_and_meaning(encoder: TextEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (5, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_neither_order_nor_batching_matters(encoder: TextEncoder) -> None:
    expected = encoder.encode(TEXTS)
    assert np.allclose(encoder.encode(TEXTS[::-1])[::-1], expected, atol=1e-5)
    small = TextEncoder(batch_size=2)
    small.__dict__["_model"] = encoder._model
    progress: list[int] = []
    assert np.allclose(small.encode(TEXTS, progress.append), expected, atol=1e-5)
    assert progress == [2, 2, 1]


def test_a_folder_is_an_encoder_with_its_own_fingerprint(
    encoder: TextEncoder, small_encoder: TextEncoder
) -> None:
    vectors = small_encoder.encode(TEXTS[:3])
    assert vectors.shape == (3, 8)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    again = TextEncoder(small_encoder.name)
    assert again.fingerprint == small_encoder.fingerprint != encoder.fingerprint


def test_refuses_what_it_cannot_load_or_encode(encoder: TextEncoder, tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match="no text to encode"):
        encoder.encode([])
    for name in ("no-such/encoder", str(tmp_path)):
        with pytest.raises(NegGenError, match=f"The encoder '{name}' cannot be loaded"):
            TextEncoder(name).encode(["x"])
