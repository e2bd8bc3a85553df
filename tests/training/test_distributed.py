"""Several processes train what one trains: real ones, that meet on the loopback and get killed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from neggen.config import MFConfig, SplitConfig
from neggen.errors import NegGenError
from neggen.models import model_class
from neggen.models.mf import MFModule
from neggen.negatives import sampler_config
from neggen.negatives.base import Batch
from neggen.runs import Run, train_run
from neggen.testing import checkerboard
from neggen.training.checkpoint import load_tensors
from neggen.training.distributed import first_says, joined, share, writes
from neggen.workspace import Workspace

TEAM = Path(__file__).parents[1] / "standins" / "team.py"
DATA = checkerboard()
FEW = {"dim": 8, "learning_rate": 0.02, "epochs": 6, "evaluate_every": 2}
UNEVEN = {"batch_size": (DATA.train.nnz - 1) // 3}
"""Batches of an odd size or an even one, and at last one of a single row, or two."""
CASES = {
    "rows are divided": ("mf", {}),
    "over a graph": ("lightgcn", {"layers": 2}),
    "likely negatives, a corrected loss": (
        "lightgcn",
        {"sampler": {"name": "popularity", "negatives": 8}, "loss": "ssm"},
    ),
    "a loss that normalizes": (
        "mf",
        {"sampler": {"name": "uniform", "negatives": 8}, "loss": "bsl"},
    ),
    "negatives of the batch": ("lightgcn", {"sampler": "in-batch", "loss": "bsl"}),
    "a sampler that looks and draws": ("mf", {"sampler": {"name": "dns", "top": 4}}),
    "a sampler that learns": ("mf", {"sampler": "ans"}),
    "a sampler that remembers": ("mf", {"sampler": "srns"}),
    "a part for every row": ("mf", {"sampler": {"name": "mixture", "parts": ["uniform", "dns"]}}),
    "two phases": ("neggen", {"heads": 2, "base": FEW}),
}


def settings_of(case: str) -> tuple[str, dict]:
    name, changes = CASES[case]
    return name, {**FEW, **UNEVEN, **changes}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def processes(count: int, *command: object):
    """Start a command ``count`` times as torchrun does, without its supervision."""
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def ends(started: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Wait for processes that end well, and return what they printed."""
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0] * len(started), said
    return [out for out, _ in said]


def wait_for(happened: Callable[[], object], *working: subprocess.Popen[str]) -> None:
    """Wait for something that processes do."""
    while not happened():
        assert [process.poll() for process in working] == [None] * len(working), "one has ended"
        time.sleep(0.01)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def without_times(history: dict) -> dict:
    return {p: [{**log, "seconds": 0} for log in logs] for p, logs in history.items()}


def assert_alike(ours: dict, theirs: dict) -> None:
    """Compare what happened in every epoch of every phase, but how long it took."""
    assert ours.keys() == theirs.keys()
    for phase in ours:
        assert len(ours[phase]) == len(theirs[phase])
        for one, other in zip(ours[phase], theirs[phase], strict=True):
            for figures in (one, other):
                figures["valid"] = {**(figures["valid"] or {}), "loss": figures["loss"] or 0.0}
            assert one["valid"] == pytest.approx(other["valid"], rel=0, abs=1e-5)
            assert one["best"] == other["best"]


def test_two_processes_learn_what_one_learns() -> None:
    cases = [settings_of(case) for case in CASES]
    with processes(2, TEAM, json.dumps(cases)) as started:
        first, second = ([json.loads(line) for line in out.splitlines()] for out in ends(started))
    for case, (name, settings), ours, theirs in zip(CASES, cases, first, second, strict=True):
        assert without_times(ours) == without_times(theirs), f"the processes went apart: {case}"
        alone = model_class(name)(**settings).fit(DATA).history
        assert_alike(ours, {phase: [asdict(log) for log in logs] for phase, logs in alone.items()})


def test_a_killed_process_ends_the_others_and_any_number_goes_on(
    ready: Workspace, tmp_path: Path
) -> None:
    settings = {**FEW, "epochs": 20, "batch_size": 100, "checkpoint_seconds": 0}
    options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]

    def command(workspace: Path) -> list[object]:
        return ["-m", "neggen.cli", "train", workspace, "--model", "lightgcn", *options]

    alone = shutil.copytree(ready.path, tmp_path / "alone")
    with processes(2, *command(ready.path)) as (first, second):
        saved = "*/checkpoints/lightgcn.safetensors"
        wait_for(lambda: list(ready.runs_dir.glob(saved)), first, second)
        second.kill()
        _, said = first.communicate(timeout=300)
    assert first.returncode == 2
    assert "Another process of this training has ended or does not answer" in squeezed(said)
    assert "Traceback" not in said
    assert list(ready.runs_dir.glob("*/checkpoints/*"))
    assert not list(ready.runs_dir.glob("*/run.toml"))

    undisturbed = train_run(Workspace.open(alone), "lightgcn", settings, SplitConfig())
    for count in (1, 3):
        place = shutil.copytree(ready.path, tmp_path / str(count))
        if count == 1:
            train_run(Workspace.open(place), "lightgcn", settings, SplitConfig())
        else:
            with processes(count, *command(place)) as started:
                ends(started)
        resumed = Run.open(place / "runs" / undisturbed.folder.name)
        assert_alike(resumed.history, undisturbed.history)
        ours, theirs = (
            load_tensors(run.model_dir / "model.safetensors")[0] for run in (resumed, undisturbed)
        )
        for name, tensor in theirs.items():
            torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-4)


LATE = """
import sys, time
from datetime import timedelta
import torch
from neggen.errors import NegGenError
from neggen.training.distributed import add_up, joined
try:
    with joined("cpu", timedelta(seconds=3)) as first:
        if not first:
            time.sleep(600)
        add_up([torch.ones(1)])
except NegGenError as error:
    sys.exit(str(error))
"""


def test_a_process_that_hangs_does_not_hang_the_others() -> None:
    with processes(2, "-c", LATE) as (first, _):
        _, said = first.communicate(timeout=300)
    assert first.returncode == 1
    assert said.startswith(
        "Another process of this training has ended or does not answer (Timed out waiting 3000ms"
    )
    assert said.endswith("to go on from the last checkpoint.\n")


def test_torchrun_trains_one_run_of_both_phases(ready: Workspace, tmp_path: Path) -> None:
    alone = shutil.copytree(ready.path, tmp_path / "alone")
    options = ["heads=2", *(f"{k}={v}" for k, v in FEW.items() if k != "evaluate_every")]
    options += ["base.dim=8", "base.epochs=3"]
    told = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        + ["-m", "neggen.cli", "train", str(ready.path), "--json"]
        + [word for option in options for word in ("--set", option)],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    ours = Run.open(json.loads(told.stdout)["run"])  # the first process alone says anything
    base = {"dim": 8, "epochs": 3}
    settings = {"heads": 2, **FEW, "evaluate_every": 0, "base": base}
    theirs = train_run(Workspace.open(alone), "neggen", settings, SplitConfig())
    assert ours.folder.name == theirs.folder.name
    assert_alike(ours.history, theirs.history)
    shares = "modality_shares"
    assert ours.manifest[shares] == pytest.approx(theirs.manifest[shares], abs=1e-6)
    assert not ours.checkpoint_dir.exists()


def module(sampler: dict | None, cls: type[MFModule] = MFModule) -> MFModule:
    made = cls(DATA.train, MFConfig(dim=4))
    if sampler is not None:
        kind, settings = sampler_config(sampler)
        made.sampler = kind(settings, DATA)
    return made


def test_rows_are_divided_only_where_they_do_not_see_each_other() -> None:
    class Longer(MFModule):
        def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
            return super().loss(batch, generator) + batch.users.float().std()

    assert module(None).by_row
    assert module({"name": "uniform"}).by_row
    assert module({"name": "popularity"}).by_row
    for name in ("dns", "in-batch", "srns", "mixgcf"):
        assert not module({"name": name}).by_row
    assert not module({"name": "mixture", "parts": ["uniform", "popularity"]}).by_row
    assert not module({"name": "uniform"}, Longer).by_row


def test_refuses_a_gpu_that_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "99")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(NegGenError, match="cannot be 'cuda:1'; take 'cuda'"), joined("cuda:1"):
        pass
    with pytest.raises(NegGenError, match="Process 99 of this machine has no GPU"), joined("cuda"):
        pass


def test_alone_nothing_changes() -> None:
    batch = Batch(*(torch.arange(3) for _ in range(2)), torch.zeros(3, 1))
    with joined("cpu") as first:
        assert first
        assert share(batch, by_row=True) == (batch, 1.0)
        assert not first_says(False)
        assert writes()
