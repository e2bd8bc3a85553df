"""Arrays on disk are those that were saved, and what is done with them does not change the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from neggen.data import mapped
from neggen.data.mapped import mapped_arrays, zeros
from neggen.errors import NegGenError

ARRAYS = {
    "values": np.arange(12, dtype=np.float32).reshape(3, 4),
    "mask": np.array([True, False, True]),
    "neighbors": np.array([[1, -1]], dtype=np.int32),
    "keys": np.arange(5, dtype=np.uint8),
    "nothing": np.zeros((0, 4), dtype=np.float32),
}


def test_mapped_arrays_are_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(ARRAYS, path, metadata={"about": "nothing"})
    before = path.read_bytes()
    found = mapped_arrays(path)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
        found[name][...] = 0
    assert path.read_bytes() == before


def test_refuses_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(ARRAYS, path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:40], whole[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(SafetensorError):
            mapped_arrays(path)
    save_file({"double": np.ones(2)}, path)
    with pytest.raises(KeyError, match="F64"):
        mapped_arrays(path)


def test_large_zeros_lie_in_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "IN_MEMORY", 100)
    before = Path("/proc/self/maps").read_text()
    small, large = zeros((5, 5), tmp_path), zeros((6, 5), tmp_path)
    assert str(tmp_path) not in before
    assert str(tmp_path) in Path("/proc/self/maps").read_text()
    assert not list(tmp_path.iterdir())
    large[2] = 7
    assert not small.any()
    assert large.tolist() == [[7.0 * (row == 2)] * 5 for row in range(6)]


def test_where_nothing_may_be_written_they_lie_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "IN_MEMORY", 100)
    tmp_path.chmod(0o500)
    folders = [place for place in (tmp_path, Path("/sys")) if not os.access(place, os.W_OK)]
    if not folders:
        pytest.skip("this user may write everywhere")
    large = zeros((6, 5), folders[0])
    large[2] = 7
    assert large.sum() == 35


def test_says_how_much_room_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match=r"Vectors of 4,000,000,000.0 GB .* make room there"):
        zeros((10**9, 10**9), tmp_path)
