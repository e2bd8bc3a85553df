"""The embedded encoder, for real and offline."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from neggen.encoding import text
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.testing import refuses

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
    # Padding differs, and with it the rounding of the fast type: the directions stay.
    assert ((encoder.encode(TEXTS[::-1])[::-1] * expected).sum(1) > 0.9995).all()
    small = TextEncoder(batch_size=2)
    small.__dict__["_model"] = encoder._model
    progress: list[int] = []
    assert ((small.encode(TEXTS, progress.append) * expected).sum(1) > 0.9995).all()
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


def test_refuses_a_model_of_pictures(picture_models: dict[str, str]) -> None:
    with refuses(f"'{picture_models['vit']}' takes image and no text", "leave it out"):
        TextEncoder(picture_models["vit"]).encode(["x"])


def test_the_fast_type_keeps_the_directions(encoder: TextEncoder) -> None:
    import torch

    texts = [f"a {color} mug with {n} dots" for color in ("red", "blue") for n in range(20)]
    exact = TextEncoder()
    exact._model.to(torch.float32)
    cosines = (encoder.encode(texts) * exact.encode(texts)).sum(1)
    assert cosines.min() > 0.995


def test_as_many_workers_as_threads_give_the_same_vectors(encoder: TextEncoder) -> None:
    import torch

    texts = [f"{'A fairly long story of ' * (n % 7)}a mug with {n} dots" for n in range(24)]
    several = TextEncoder(batch_size=4)
    several.__dict__["_model"] = encoder._model
    alone = several.encode(texts)
    torch.set_num_threads(3)
    try:
        together = several.encode(texts)
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(torch.get_num_threads).result() == 3, "left as it was"
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    assert np.array_equal(alone, together)


def test_an_interruption_ends_the_workers(encoder: TextEncoder) -> None:
    small = TextEncoder(batch_size=1)
    small.__dict__["_model"] = encoder._model
    seen: list[int] = []

    def interrupt(count: int) -> None:
        seen.append(count)
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        small.encode([f"text {n}" for n in range(50)], interrupt)
    assert seen == [1]
    assert threading.active_count() == before


def test_batches_hold_texts_of_like_length_without_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(text, "CPU_TOKENS", 6)
    mask = torch.tensor([[0, 0, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1]])  # padded at the left
    ids = torch.arange(12).reshape(4, 3)
    features = {"input_ids": ids, "attention_mask": mask, "kind": "text"}
    first, second = text._batches(features, 4, torch.device("cpu"))
    assert first[0].tolist() == [1, 2]
    assert first[1]["input_ids"].tolist() == ids[[1, 2]].tolist()
    assert second[0].tolist() == [0, 3]
    assert second[1]["input_ids"].tolist() == [[2], [11]]
    assert second[1]["kind"] == "text"
    bag = {"input_ids": torch.arange(5), "offsets": torch.tensor([0, 2])}
    ((rows, whole),) = text._batches(bag, 2, torch.device("cpu"))
    assert rows.tolist() == [0, 1]
    assert torch.equal(whole["offsets"], bag["offsets"])


def test_what_else_decides_the_vectors_is_in_the_fingerprint(
    small_encoder: TextEncoder, tmp_path: Path
) -> None:
    folder = shutil.copytree(small_encoder.name, tmp_path / "encoder")
    (words,) = folder.rglob("tokenizer.json")
    assert TextEncoder(str(folder)).fingerprint == small_encoder.fingerprint
    told = json.loads(words.read_text())
    vocabulary = told["model"]["vocab"]
    vocabulary["red"], vocabulary["blue"] = vocabulary["blue"], vocabulary["red"]
    words.write_text(json.dumps(told))
    assert TextEncoder(str(folder)).fingerprint != small_encoder.fingerprint
