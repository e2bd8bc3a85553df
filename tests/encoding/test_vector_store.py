"""However vectors come, in one chunk or many, after a kill or not, all of them are found again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file

from neggen.encoding.vector_store import VectorStore
from neggen.errors import NegGenError


def vectors_of(texts: list[str]) -> NDArray[np.float32]:
    return np.array([[float(text), 1, -1] for text in texts], dtype=np.float32)


def fill(path: Path, sizes: list[int]) -> list[str]:
    """Add chunks of these sizes, opening the store anew for each, and return all texts."""
    texts: list[str] = []
    for size in sizes:
        chunk = [str(len(texts) + position) for position in range(size)]
        VectorStore(path).add(chunk, vectors_of(chunk))
        texts += chunk
    return texts


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.randoms())
def test_chunks_are_found_again(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], random: st.Random
) -> None:
    path = tmp_path_factory.mktemp("vectors") / "v.safetensors"
    texts = fill(path, sizes)
    store = VectorStore(path)
    wanted = random.choices(texts, k=20)
    assert np.array_equal(store.get(wanted), vectors_of(wanted))
    assert store.missing(["x", *texts, "x", "y"]) == ["x", "y"]
    store.merge()
    assert [file.name for file in path.parent.iterdir()] == ["v.safetensors"]
    for reopened in (store, VectorStore(path)):
        assert np.array_equal(reopened.get(wanted), vectors_of(wanted))
    stored = load_file(path)
    assert stored["vectors"].tolist() == vectors_of(texts).tolist()
    assert stored["keys"].shape == (len(texts), 32)


def test_what_is_written_grows_with_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    written = 0
    for start in range(0, 256, 4):
        chunk = [str(start + position) for position in range(4)]
        before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
        VectorStore(path).add(chunk, vectors_of(chunk))
        for file in tmp_path.iterdir():
            if before.get(file) != file.stat().st_mtime_ns:
                written += len(load_file(file)["keys"])
    assert written <= 3 * 256


def test_a_kill_before_the_parts_are_deleted_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    texts = fill(path, [10, 3, 3])
    parts = sorted(tmp_path.glob("*.part"))
    assert len(parts) == 2
    for part in parts:
        shutil.copy(part, tmp_path / f"{part.name}.kept")
    VectorStore(path).merge()
    for part in parts:
        shutil.move(tmp_path / f"{part.name}.kept", part)
    texts += fill_from(path, len(texts), 30)
    assert not list(tmp_path.glob("*.part"))
    assert len(load_file(path)["keys"]) == len(texts)
    assert np.array_equal(VectorStore(path).get(texts), vectors_of(texts))


def fill_from(path: Path, start: int, count: int) -> list[str]:
    texts = [str(start + position) for position in range(count)]
    VectorStore(path).add(texts, vectors_of(texts))
    return texts


def test_names_the_damaged_part(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    fill(path, [10, 3])
    (part,) = tmp_path.glob("*.part")
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(NegGenError, match=f"{part} is damaged"):
        VectorStore(path)
