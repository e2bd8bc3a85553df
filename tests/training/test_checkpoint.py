"""Tensors on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from neggen.errors import NegGenError
from neggen.training import checkpoint
from neggen.training.checkpoint import load_tensors, save_tensors


def test_tensors_and_notes_come_back_as_they_were(tmp_path: Path) -> None:
    table = torch.randn(4, 6, generator=torch.Generator())
    tensors = {
        "view": table[:2],
        "other view of the same storage": table[2:],
        "transposed": table.T,
        "half": table.bfloat16(),
        "counts": torch.arange(5),
        "mask": table > 0,
        "scalar": torch.tensor(1.5),
        "empty": torch.empty(0, 3),
    }
    meta = {"epoch": 3, "losses": [0.1, 1e-300], "names": {"ü": None}}
    save_tensors(tmp_path / "x.safetensors", tensors, meta)
    loaded, notes = load_tensors(tmp_path / "x.safetensors")
    assert notes == meta
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].equal(tensor), name


def test_an_interrupted_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {})

    def interrupted(tensors: object, target: Path, metadata: object) -> None:
        target.write_bytes(b"half of")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_tensors(path, {"a": torch.zeros(2)}, {})
    assert load_tensors(path)[0]["a"].tolist() == [1, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_refuses_what_it_did_not_write(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(NegGenError, match=r"missing.safetensors does not exist"):
        load_tensors(tmp_path / "missing.safetensors")
    save_file({"a": torch.ones(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(NegGenError, match=r"foreign.safetensors is damaged or not a neggen file"):
        load_tensors(tmp_path / "foreign.safetensors")
