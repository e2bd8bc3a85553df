"""``neggen quality``: what it prints, with and without a run, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from neggen.config import SplitConfig
from neggen.runs import train_run
from neggen.workspace import Workspace, write_toml

if TYPE_CHECKING:
    from conftest import Cli

GROUPS = (
    "locality", "cohesive", "contrastive", "balanced", "not false", "anti-lift", "hard",
    "diverse results", "worst items",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_every_group_is_printed_and_says_what_is_missing(cli: Cli, ready: Workspace) -> None:
    told = cli("quality", ready.path, "--worst", 3)
    assert told.code == 0, told.err
    for group in GROUPS:
        assert group in told.out
    assert told.out.count("neggen train") == 2
    assert "(text)" in told.out
    assert str(ready.quality_dir / "items.parquet") in told.remark().replace(" ", "")


def test_with_a_run(cli: Cli, ready: Workspace) -> None:
    few = ["--set", "epochs=1", "--set", "dim=4"]
    run = cli("train", ready.path, "--model", "lightgcn", *few, "--json").json()["run"]
    summary = cli("quality", ready.path, "--run", run, "--seed", 3, "--json").json()
    assert summary["run"] in run
    assert summary["seed"] == 3
    assert "dns" in summary["hardness"]["by_sampler"]
    again = cli("quality", ready.path, "--run", run, "--seed", 4, "--json").json()
    assert (
        again["hardness"]["by_sampler"]["uniform"] != summary["hardness"]["by_sampler"]["uniform"]
    )
    assert again["measures"] == summary["measures"]
    told = cli("quality", ready.path)
    assert "DNS" in told.out
    assert "novelty@20" in told.out
    assert "neggen train" not in told.out


def test_a_run_of_a_model_that_is_not_installed_is_left_out(cli: Cli, ready: Workspace) -> None:
    run = train_run(ready, "popularity", {}, SplitConfig())
    write_toml(run.manifest_path, {**run.manifest, "model": "of-a-plugin"})
    other = train_run(ready, "popularity", {}, SplitConfig(), name="other")
    for command in ("quality", "report"):
        told = cli(command, ready.path)
        assert told.code == 0, told.err
        reason = f"The run {run.folder.name} is left out: There is no model 'of-a-plugin'"
        assert reason in told.remark()
        assert "The run other is left out" not in told.remark()
    write_toml(other.manifest_path, {**other.manifest, "content_hash": "0" * 64})
    summary = cli("quality", ready.path, "--json").json()
    assert summary["run"] is None
    assert "was trained on other data" in summary["runs_left_out"]["other"]


def test_what_is_missing_is_named(cli: Cli, ready: Workspace) -> None:
    told = cli("quality", ready.path, "--run", ready.runs_dir / "none")
    assert told.code == 2
    assert "is not a run" in told.err
    (ready.vectors_dir / "manifest.toml").unlink()
    assert "neggen encode" in cli("quality", ready.path).remark()
    ready.records_path.unlink()
    told = cli("quality", ready.path)
    assert told.code == 2
    assert "neggen generate" in told.remark()
    assert "is not a workspace" in cli("quality", ready.path / "images").remark()
