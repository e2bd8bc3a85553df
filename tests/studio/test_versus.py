"""Two runs, user by user, against the figures of the evaluation."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from neggen.config import SplitConfig
from neggen.errors import NegGenError
from neggen.runs import Run, evaluate_run, train_run
from neggen.studio.pictures import Thumbnails
from neggen.studio.versus import compare_users, measured_parts, two_lists
from neggen.workspace import read_toml, write_toml


@pytest.fixture(scope="module")
def runs(finished, runs_of):
    from neggen.workspace import Workspace

    found = {run.manifest["model"]: run for run in runs_of(Workspace.open(finished))}
    return found["popularity"], found["ease"]


def test_gains_add_up(runs: tuple[Run, Run]) -> None:
    difference = compare_users(*runs, "test", "recall@20")
    means = [run.metrics["test"]["recall@20"] for run in runs]
    assert difference.mean == pytest.approx(means[1] - means[0], abs=1e-6)
    gains = difference.users["gain"].to_numpy()
    assert (np.diff(gains) <= 0).all()
    assert difference.gained == (gains > 0).sum()
    assert difference.lost == (gains < 0).sum()
    assert difference.most_gained["gain"].to_list() == gains[gains > 0][:12].tolist()
    assert difference.most_lost["gain"].to_list() == gains[gains < 0][::-1][:12].tolist()
    assert difference.margin is not None
    assert difference.margin > 0


def test_the_lists_have_as_many_hits_as_were_measured(runs: tuple[Run, Run]) -> None:
    data = runs[0].load_data()
    models = runs[0].load_model(), runs[1].load_model()
    for part in measured_parts(*runs):
        frames = [
            pl.read_parquet(run.folder / "per_user" / f"{part}.parquet").head(6) for run in runs
        ]
        for row, user in enumerate(frames[0]["user_id"]):
            lists = two_lists(models, data, part, user, Thumbnails(data))
            for frame, tiles in zip(frames, (lists.first, lists.second), strict=True):
                hits = sum(tile.hit for tile in tiles)
                measured = frame["recall@20"][row] * lists.held_out_count
                assert hits == pytest.approx(measured, abs=1e-4)
            assert lists.history_count > 0


def test_runs_that_cannot_be_compared(workspace, runs_of) -> None:
    first, second, *_ = runs_of(workspace)
    model, data = first.load_model(), first.load_data()
    with pytest.raises(NegGenError, match="There is no user 'nobody'"):
        two_lists((model, model), data, "test", "nobody", Thumbnails(data))
    other = train_run(workspace, "popularity", {"seed": 1}, SplitConfig.build({"seed": 1}))
    with pytest.raises(NegGenError, match="different splits"):
        compare_users(first, other, "test", "recall@20")
    evaluate_run(other)
    (second.folder / "per_user" / "test.parquet").unlink()
    assert measured_parts(first, second) == ["shifted"]
    with pytest.raises(NegGenError, match="was not measured on 'test' yet"):
        compare_users(first, second, "test", "recall@20")
    write_toml(second.manifest_path, {**read_toml(second.manifest_path), "content_hash": "x"})
    with pytest.raises(NegGenError, match="different data"):
        compare_users(first, second, "shifted", "recall@20")
