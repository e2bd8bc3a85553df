"""Runs as data frames."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from neggen.config import SplitConfig
from neggen.data.store import save_dataset
from neggen.runs import evaluate_run, train_run
from neggen.testing import checkerboard
from neggen.tracking.frames import history_frame, metrics_frame
from neggen.workspace import Workspace


def test_frames_hold_what_the_runs_do(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w")
    save_dataset(place, checkerboard(), source="made up")
    settings = {"dim": 4, "epochs": 3, "evaluate_every": 2}
    trained = train_run(place, "mf", settings, SplitConfig())
    closed = train_run(place, "ease", {}, SplitConfig())
    history = history_frame(trained, closed)
    logs = trained.history["mf"]
    assert history["run"].unique().to_list() == [trained.folder.name], "EASE has no epochs"
    assert history["epoch"].to_list() == [0, 1, 2, 3]
    assert history["loss"].to_list() == [log["loss"] for log in logs]
    assert history["ndcg@20"].to_list() == [(log["valid"] or {}).get("ndcg@20") for log in logs]
    assert history["ndcg@20"].null_count() == 1
    assert history_frame(closed).schema["loss"] == pl.Float64
    assert metrics_frame(trained, closed).is_empty()

    for run in (trained, closed):
        evaluate_run(run)
    metrics = metrics_frame(trained, closed)
    assert metrics.select("run", "part").rows() == [
        (trained.folder.name, "test"), (closed.folder.name, "test")
    ]  # fmt: skip
    expected = [run.metrics["test"]["recall@20"] for run in (trained, closed)]
    assert metrics["recall@20"].to_list() == expected
