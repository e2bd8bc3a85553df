"""Checkpoints that are kept: how many, which one goes on, and what a killed training ends with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from neggen.config import SplitConfig
from neggen.errors import NegGenError
from neggen.models.base import FitContext
from neggen.models.mf import MF
from neggen.runs import Run, train_run
from neggen.testing import checkerboard
from neggen.training.checkpoints import kept_checkpoints, load_checkpoint, save_checkpoint
from neggen.workspace import Workspace

FEW = {"dim": 8, "epochs": 100, "patience": 200, "checkpoint_seconds": 0}


def write(path: Path, number: int, keep: int) -> None:
    save_checkpoint(path, {"number": torch.tensor(number)}, {"number": number}, keep)


def numbers(path: Path) -> list[int]:
    return [load_checkpoint(each)[1]["number"] for each in kept_checkpoints(path)]


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_the_newest_are_kept(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "mf.safetensors"
    for number in range(6):
        write(path, number, keep)
        assert numbers(path) == list(range(number, max(-1, number - keep), -1))
    assert len(list(tmp_path.iterdir())) == keep


def test_those_of_another_phase_are_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "neggen.safetensors", tmp_path / "neggen-linear.safetensors"
    write(other, 7, 1)
    for number in range(3):
        write(path, number, 2)
    assert numbers(other) == [7]


def test_fewer_are_kept_when_fewer_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "mf.safetensors"
    for number in range(4):
        write(path, number, 4)
    write(path, 4, 2)
    assert numbers(path) == [4, 3]
    write(path, 5, 1)
    assert numbers(path) == [5]


def test_a_kill_between_moving_and_writing_leaves_one(tmp_path: Path) -> None:
    path = tmp_path / "mf.safetensors"
    for number in range(2):
        write(path, number, 2)
    path.replace(tmp_path / "mf.1.safetensors")  # what saving does first
    assert load_checkpoint(path)[1] == {"number": 1}
    write(path, 2, 2)
    assert numbers(path) == [2, 1]


def test_a_damaged_one_falls_back_to_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "mf.safetensors"
    for number in range(3):
        write(path, number, 3)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.warns(UserWarning, match=r"mf.safetensors is damaged .* from the one before"):
        assert load_checkpoint(path)[1] == {"number": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_checkpoint(path)[1] == {"number": 1}  # and is not met again
    write(path, 3, 3)
    assert numbers(path) == [3, 1, 0]


def test_without_a_sound_one_it_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mf.safetensors"
    with pytest.raises(NegGenError, match=r"mf.safetensors does not exist"):
        load_checkpoint(path)
    for number in range(2):
        write(path, number, 2)
    for each in kept_checkpoints(path):
        each.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(NegGenError, match=r"mf.1.safetensors is damaged"),
    ):
        load_checkpoint(path)


def test_training_goes_on_from_the_one_before(tmp_path: Path) -> None:
    data, settings = checkerboard(), {**FEW, "epochs": 6, "keep_checkpoints": 3}
    expected = MF(**settings).fit(data)

    def stop(phase: str, log: object) -> None:
        if log.epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MF(**settings).fit(data, FitContext(tmp_path, stop))
    assert len(list(tmp_path.iterdir())) == 3
    (tmp_path / "mf.safetensors").write_bytes(b"half")
    seen = []
    with pytest.warns(UserWarning, match="from the one before"):
        resumed = MF(**settings).fit(
            data, FitContext(tmp_path, lambda phase, log: seen.append(log.epoch))
        )
    assert seen == [3, 4, 5, 6]  # the newest was that of epoch 3
    assert resumed.user_embeddings.equal(expected.user_embeddings)
    assert resumed.item_embeddings.equal(expected.item_embeddings)


def test_training_goes_on_with_the_same_split_only(tmp_path: Path) -> None:
    def stop(phase: str, log: object) -> None:
        if log.epoch == 3:
            raise KeyboardInterrupt

    first, other = (checkerboard().split(SplitConfig(seed=seed)) for seed in (0, 1))
    assert first.content_hash == other.content_hash
    with pytest.raises(KeyboardInterrupt):
        MF(**FEW).fit(first, FitContext(tmp_path, stop))
    with pytest.raises(NegGenError, match=r"mf\.safetensors belongs to a run on other data"):
        MF(**FEW).fit(other, FitContext(tmp_path))
    seen = []
    MF(**FEW).fit(first, FitContext(tmp_path, lambda phase, log: seen.append(log.epoch)))
    assert seen[0] == 3


def test_how_many_are_kept_does_not_make_another_run() -> None:
    assert MF(keep_checkpoints=3).config.identity() == MF().config.identity()


def test_a_killed_command_ends_with_the_same_file(ready: Workspace, tmp_path: Path) -> None:
    alone = Workspace.open(shutil.copytree(ready.path, tmp_path / "alone"))
    expected = train_run(alone, "mf", FEW, SplitConfig())
    command = [sys.executable, "-m", "neggen.cli", "train", str(ready.path), "--model", "mf"]
    words = [word for name, value in FEW.items() for word in ("--set", f"{name}={value}")]
    process = subprocess.Popen([*command, *words], stderr=subprocess.DEVNULL)
    while not list(ready.runs_dir.glob("*/checkpoints/mf.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9

    run = train_run(ready, "mf", FEW, SplitConfig())
    ours, theirs = (each.model_dir / "model.safetensors" for each in (run, expected))
    assert ours.read_bytes() == theirs.read_bytes()
    assert without_times(run) == without_times(expected)


def without_times(run: Run) -> str:
    return json.dumps(
        {p: [{**log, "seconds": 0} for log in logs] for p, logs in run.history.items()}
    )


def test_a_checkpoint_of_another_kind_of_device_goes_on(tmp_path: Path) -> None:
    def stop(phase: str, log: object) -> None:
        if log.epoch == 3:
            raise KeyboardInterrupt

    settings = {**FEW, "epochs": 6}
    with pytest.raises(KeyboardInterrupt):
        MF(**settings).fit(checkerboard(), FitContext(tmp_path, stop))
    path, seen = tmp_path / "mf.safetensors", []
    tensors, meta = load_checkpoint(path)
    tensors["generator"] = torch.zeros(16, dtype=torch.uint8)  # as long as the state of a GPU's
    save_checkpoint(path, tensors, meta, 1)
    MF(**settings).fit(
        checkerboard(), FitContext(tmp_path, lambda phase, log: seen.append(log.epoch))
    )
    assert seen == [3, 4, 5, 6]
