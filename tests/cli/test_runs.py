"""``neggen runs``: what was trained in a workspace, and how good it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from neggen.config import SplitConfig
from neggen.runs import evaluate_run, train_run
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli

FEW = {"epochs": 2, "dim": 8}


@pytest.fixture
def trained(ready: Workspace) -> Workspace:
    """A workspace with one evaluated run and one that is not."""
    evaluate_run(train_run(ready, "lightgcn", FEW, SplitConfig(), name="graph"))
    train_run(ready, "popularity", {}, SplitConfig(kind="leave-last"))
    return ready


def test_lists_every_run_with_its_figures(
    cli: Cli, trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = cli("runs", trained.path, "--json").json()
    assert [(each["model"], each["split"]["kind"]) for each in told] == [
        ("lightgcn", "random"),
        ("popularity", "leave-last"),
    ]
    graph, popularity = told
    assert graph["run"] == str(trained.runs_dir / "graph")
    assert graph["settings"]["dim"] == 8
    assert not popularity["metrics"]
    ended = cli("runs", trained.path)
    assert ended.code == 0
    graph_row, popularity_row = (
        next(line for line in ended.out.splitlines() if name in line)
        for name in ("graph", "popularity-leave-last")
    )
    assert f"{graph['metrics']['test']['ndcg@20']:.4f}" in graph_row
    assert f"{graph['valid']['ndcg@20']:.4f}" in graph_row
    assert "random-0" in graph_row
    assert "–" in popularity_row


def test_a_workspace_without_runs_says_how_to_make_one(cli: Cli, ready: Workspace) -> None:
    ended = cli("runs", ready.path)
    assert (ended.code, ended.out) == (0, "")
    assert "holds no finished run: neggen train makes one" in ended.remark()
    assert cli("runs", ready.path, "--json").json() == []


def test_a_damaged_run_hides_no_other(cli: Cli, trained: Workspace) -> None:
    (trained.runs_dir / "graph" / "run.toml").write_text("model = ", encoding="utf-8")
    ended = cli("runs", trained.path, "--json")
    assert [each["model"] for each in ended.json()] == ["popularity"]
    assert "graph/run.toml is not valid TOML" in ended.remark()


def test_what_is_not_finished_and_what_is_of_other_data_is_told(
    cli: Cli, trained: Workspace
) -> None:
    (trained.runs_dir / "begun" / "checkpoints").mkdir(parents=True)
    manifest = trained.runs_dir / "graph" / "run.toml"
    text = manifest.read_text(encoding="utf-8")
    held = trained.manifest("content_hash")["content_hash"]
    manifest.write_text(text.replace(held, "0" * 64), encoding="utf-8")
    ended = cli("runs", trained.path, "--json")
    assert len(ended.json()) == 2
    assert "graph was trained on other data" in ended.remark()
    assert "begun is being trained, or was interrupted" in ended.remark()
