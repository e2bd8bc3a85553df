"""A killed or interrupted command goes on when it is typed again, and ends as if undisturbed."""

from __future__ import annotations

import hashlib
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from neggen.config import SplitConfig
from neggen.errors import NegGenError
from neggen.overrides import parse_overrides
from neggen.runs import Run, train_run
from neggen.training.checkpoint import load_tensors
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer, Cli

Start = Callable[..., subprocess.Popen[str]]
ITEMS, CONCURRENCY = 60, 4
endings = pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])


def stop(
    process: subprocess.Popen[str],
    end: signal.Signals,
    due: Callable[[], bool],
    pause: float = 0.002,
) -> None:
    """End a process as soon as it is due, and see that it ends as it should."""
    while process.poll() is None and not due():
        time.sleep(pause)
    process.send_signal(end)
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert "Traceback" not in err
    if end == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL, "it was too quick to be killed"
    else:
        assert process.returncode == 130, err
        assert "Interrupted." in err
        assert "give the same command again" in err


@endings
def test_generate_asks_nothing_acknowledged_twice(
    start: Start, cli: Cli, server: ChatServer, described: Path, tmp_path: Path, end: signal.Signals
) -> None:
    def reply(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        question = body["messages"][1]["content"][0]["text"]
        number = hashlib.sha256(question.encode()).digest()[0]
        return server.say({**server.good, "replacements": [f"blue {number}", "stripes"]})

    server.reply, server.delay = reply, 0.02
    leave_out = shutil.ignore_patterns("journal.sqlite*", "negatives.parquet", "vectors", "runs")
    places = [tmp_path / name for name in ("disturbed", "undisturbed")]
    disturbed, undisturbed = (
        Workspace(shutil.copytree(described, place, ignore=leave_out)) for place in places
    )
    options = ["--model", "m", "--concurrency", CONCURRENCY, "--json"]
    typed = ["generate", disturbed.path, "--base-url", server.url, *options]

    stop(start(*typed), end, lambda: server.answered > ITEMS // 3)
    assert not disturbed.records_path.exists()
    with sqlite3.connect(disturbed.journal_path) as file:
        kept = {item for (item,) in file.execute("SELECT item_id FROM answers")}
    assert ITEMS // 3 - CONCURRENCY <= len(kept) < ITEMS
    lost = len(server.calls) - len(kept)
    assert lost <= CONCURRENCY

    figures = cli(*typed).json()["modalities"]["text"]
    assert (figures["reused"], figures["asked"]) == (len(kept), ITEMS - len(kept))
    asked = Counter(server.prompts())
    assert len(asked) == ITEMS
    assert sum(asked.values()) == ITEMS + lost, "an acknowledged answer was asked for again"

    cli("generate", undisturbed.path, "--base-url", server.url, *options).json()
    assert disturbed.records_path.read_bytes() == undisturbed.records_path.read_bytes()


OFTEN = ["epochs=120", "patience=500", "dim=16", "evaluate_every=2", "checkpoint_seconds=0"]
SETTINGS = [*OFTEN, *(f"base.{setting}" for setting in OFTEN), "heads=2"]
TYPED = ["--json", *(word for setting in SETTINGS for word in ("--set", setting))]


@pytest.fixture(scope="module")
def undisturbed(described: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which NegGen, and LightGCN as its base, were trained at one go."""
    place = Workspace(shutil.copytree(described, tmp_path_factory.mktemp("undisturbed") / "w"))
    train_run(place, "neggen", parse_overrides(SETTINGS), SplitConfig())
    return place


def saved_epochs(place: Workspace, phase: str) -> list[dict[str, Any]]:
    """The history in the checkpoint of a phase of training."""
    for path in place.runs_dir.glob(f"{phase}-*/checkpoints/{phase}.safetensors"):
        return load_tensors(path)[1]["state"]["history"]
    return []


def only_run(place: Workspace, phase: str) -> Run:
    (folder,) = place.runs_dir.glob(f"{phase}-*")
    return Run.open(folder)


def assert_same(run: Run, other: Run, saved: list[dict[str, Any]]) -> None:
    """The run went on after ``saved``, and has the weights of the other."""
    (history,), (expected,) = run.history.values(), other.history.values()
    assert history[: len(saved)] == saved, "a resumed run keeps its epochs, with their seconds"
    assert [{**log, "seconds": 0} for log in history] == [{**log, "seconds": 0} for log in expected]
    name = "model.safetensors"
    assert (run.model_dir / name).read_bytes() == (other.model_dir / name).read_bytes()
    assert not run.checkpoint_dir.exists()


@endings
def test_train_goes_on_in_both_phases(
    start: Start, cli: Cli, ready: Workspace, undisturbed: Workspace, end: signal.Signals
) -> None:
    typed = ["train", ready.path, *TYPED]
    stop(start(*typed), end, lambda: len(saved_epochs(ready, "lightgcn")) > 20, 0.02)
    of_base = saved_epochs(ready, "lightgcn")
    assert 20 < len(of_base) < 121
    with pytest.raises(NegGenError, match="was interrupted"):
        only_run(ready, "lightgcn")
    assert not list(ready.runs_dir.glob("neggen-*/run.toml"))

    stop(start(*typed), end, lambda: len(saved_epochs(ready, "neggen")) > 20, 0.02)
    base = only_run(ready, "lightgcn")
    assert_same(base, only_run(undisturbed, "lightgcn"), of_base)
    written = base.manifest_path.stat().st_mtime_ns
    saved = saved_epochs(ready, "neggen")
    assert 20 < len(saved) < 121

    told = cli(*typed).json()
    run = only_run(ready, "neggen")
    assert told["run"] == str(run.folder)
    assert_same(run, only_run(undisturbed, "neggen"), saved)
    assert base.manifest_path.stat().st_mtime_ns == written, "a finished base is not trained again"
