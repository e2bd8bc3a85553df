"""Real TensorBoard, MLflow and W&B (offline), read back: every epoch once, also after a resume."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from neggen.cli import app
from neggen.config import SplitConfig
from neggen.data.store import save_dataset
from neggen.errors import NegGenError
from neggen.models.mf import MF
from neggen.run_names import run_name
from neggen.runs import Run, evaluate_run, train_run
from neggen.testing import checkerboard, refuses
from neggen.tracking import TRACKERS
from neggen.tracking.base import TrackedRun, Tracker
from neggen.tracking.following import following, tell_figures
from neggen.tracking.tensorboard import TensorBoard
from neggen.training.loop import EpochLog
from neggen.workspace import Workspace, read_toml

SPLIT = SplitConfig()
SETTINGS = {"dim": 4, "epochs": 4, "evaluate_every": 2, "checkpoint_seconds": 0.0}
ABOUT = {"model": "mf", "settings": {"dim": 4, "sampler": {"name": "uniform"}}}
EPOCHS = [0, 1, 2, 3, 4]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    workspace = Workspace(tmp_path / "w")
    save_dataset(workspace, checkerboard(), source="made up")
    return workspace


def folder_of(place: Workspace) -> Path:
    return place.runs_dir / run_name("mf", MF(**SETTINGS).config, SPLIT)


def train(place: Workspace, tracker: str, stop_after: int | None = None) -> Run:
    """Train, told to a tracker; ``stop_after`` interrupts as Ctrl-C does."""
    with following([tracker], folder_of(place), ABOUT) as tell:

        def on_epoch(phase: str, log: EpochLog) -> None:
            tell(phase, log)
            if log.epoch == stop_after:
                raise KeyboardInterrupt

        return train_run(place, "mf", SETTINGS, SPLIT, on_epoch=on_epoch)


def train_with_an_interruption(place: Workspace, tracker: str) -> Run:
    with pytest.raises(KeyboardInterrupt):
        train(place, tracker, stop_after=3)  # after its checkpoint of epoch 2
    run = train(place, tracker)
    assert tell_figures(run, evaluate_run(run)) == [tracker]
    return run


def expected(run: Run) -> dict[str, list[tuple[int, float]]]:
    logs = run.history["mf"]
    assert [log["epoch"] for log in logs] == EPOCHS
    return {
        "loss": [(log["epoch"], log["loss"]) for log in logs if log["loss"] is not None],
        "valid/ndcg_20": [(log["epoch"], log["valid"]["ndcg@20"]) for log in logs if log["valid"]],
    }


def near(pairs: list[tuple[int, float]]) -> list[tuple[int, object]]:
    return [(step, pytest.approx(value, rel=1e-5)) for step, value in pairs]


def log_records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a file in LevelDB's log format, which W&B puts 7 bytes before."""
    place, whole = 7, b""
    while place + 7 <= len(data):
        left = -place % 32768 or 32768
        if left < 7:  # no room for a header: the next block
            place += left
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            yield whole
            whole = b""


def test_tensorboard(place: Workspace) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra: neggen[track]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train_with_an_interruption(place, "tensorboard")
    found = EventAccumulator(str(run.folder / "tensorboard" / "mf")).Reload()
    for name, pairs in expected(run).items():
        assert [(e.step, e.value) for e in found.Scalars(name)] == near(pairs)
    figures = EventAccumulator(str(run.folder / "tensorboard" / "figures")).Reload()
    (test,) = figures.Scalars("test/ndcg_20")
    assert test.value == pytest.approx(run.metrics["test"]["ndcg@20"])
    (about,) = figures.Tensors("run/text_summary")
    assert "model = mf" in about.tensor_proto.string_val[0].decode()


def test_mlflow(place: Workspace) -> None:
    pytest.importorskip("mlflow", reason="needs the extra: neggen[track]")
    from mlflow import MlflowClient

    run = train_with_an_interruption(place, "mlflow")
    client = MlflowClient(tracking_uri=f"sqlite:///{place.path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("neggen")
    (kept,) = client.search_runs([experiment.experiment_id])
    assert kept.info.run_name == run.folder.name
    assert kept.info.status == "FINISHED"
    assert kept.data.params["settings.dim"] == "4"
    assert kept.data.params["settings.sampler.name"] == "uniform"
    assert kept.data.tags["run_folder"] == str(run.folder)
    assert kept.data.metrics["test/ndcg_20"] == pytest.approx(run.metrics["test"]["ndcg@20"])
    for name, pairs in expected(run).items():
        history = client.get_metric_history(kept.info.run_id, f"mf/{name}")
        assert [(entry.step, entry.value) for entry in history] == near(pairs)
    assert read_toml(run.folder / "tracking.toml") == {"mlflow": {"run_id": kept.info.run_id}}


def test_weights_and_biases_offline(place: Workspace) -> None:
    pytest.importorskip("wandb", reason="needs the extra: neggen[track]")
    from wandb.proto.wandb_internal_pb2 import Record

    run = train(place, "wandb")
    (file,) = place.path.glob("wandb/offline-run-*/*.wandb")
    assert file.stem == f"run-{read_toml(run.folder / 'tracking.toml')['wandb']['id']}"
    for _ in range(300):  # its own process writes the file, and is not waited for
        records = [Record.FromString(content) for content in log_records(file.read_bytes())]
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            break
        time.sleep(0.1)
    losses = []
    for record in records:
        items = {i.key or "/".join(i.nested_key): i.value_json for i in record.history.item}
        if "mf/loss" in items:
            losses.append((int(items["mf/epoch"]), float(items["mf/loss"])))
    assert losses == near(expected(run)["loss"])


def test_a_finished_run_is_told_as_a_whole(place: Workspace) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra: neggen[track]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train_run(place, "mf", SETTINGS, SPLIT)
    assert tell_figures(run, evaluate_run(run)) == []
    result = CliRunner().invoke(
        app,
        ["train", str(place.path), "--model", "mf", "--track", "tensorboard"]
        + [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")],
    )
    assert result.exit_code == 0, result.output
    found = EventAccumulator(str(run.folder / "tensorboard" / "mf")).Reload()
    assert [e.step for e in found.Scalars("seconds")] == EPOCHS
    result = CliRunner().invoke(app, ["evaluate", str(run.folder)])
    assert "tensorboard has these figures too" in result.output


def test_what_cannot_track_is_refused_before_training(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TensorBoard, "needs", "no_such_package")
    with refuses("needs the package no_such_package", 'pip install "neggen[track]"'):
        train(place, "tensorboard")
    with refuses("There is no tracker 'mlfow'", "'mlflow'"):
        train(place, "mlfow")
    assert not place.runs_dir.exists()


def test_mlflow_that_cannot_be_used_is_named(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra: neggen[track]")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://somewhere")
    with pytest.raises(NegGenError, match="MLflow at nonsense://somewhere cannot be used"):
        train(place, "mlflow")


def test_a_tracker_that_is_open_is_closed_though_another_cannot_be(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra: neggen[track]")
    closed: list[bool] = []
    monkeypatch.setattr(TensorBoard, "close", lambda self, *, finished: closed.append(finished))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://somewhere")
    with (
        pytest.raises(NegGenError, match="MLflow at nonsense"),
        following(["tensorboard", "mlflow"], folder_of(place), ABOUT) as tell,
    ):
        tell("mf", EpochLog(0))
    assert closed == [False]


class Jammed(Tracker):
    """A tracker of somebody's own whose service goes away before the end."""

    name = "jammed"
    needs = "torch"

    def __init__(self, run: TrackedRun) -> None:
        pass

    def epoch(self, phase: str, log: EpochLog) -> None:
        pass

    def figures(self, part: str, figures: Mapping[str, float]) -> None:
        pass

    def close(self, *, finished: bool) -> None:
        raise OSError("the service is gone")


def test_a_tracker_that_cannot_be_closed_spoils_nothing(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra: neggen[track]")
    from mlflow import MlflowClient

    monkeypatch.setitem(TRACKERS._classes, "jammed", Jammed)
    client = MlflowClient(tracking_uri=f"sqlite:///{place.path / 'mlflow.db'}")
    names, remark = ["jammed", "mlflow"], "jammed may lack the end of this run: the service is gone"

    def interrupted() -> None:
        with following(names, folder_of(place), ABOUT) as tell:
            tell("mf", EpochLog(0))
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match=remark), pytest.raises(KeyboardInterrupt):
        interrupted()
    run_id = read_toml(folder_of(place) / "tracking.toml")["mlflow"]["run_id"]
    assert client.get_run(run_id).info.status == "KILLED"
    with pytest.warns(UserWarning, match=remark), following(names, folder_of(place), ABOUT) as tell:
        run = train_run(place, "mf", SETTINGS, SPLIT, on_epoch=tell)
    assert client.get_run(run_id).info.status == "FINISHED"
    with pytest.warns(UserWarning, match=remark):
        assert tell_figures(run, evaluate_run(run)) == ["mlflow"]
