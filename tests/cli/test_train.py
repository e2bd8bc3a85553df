"""The options of ``neggen train``: what they change, and what they leave alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from neggen.data import store
from neggen.data.store import load_dataset
from neggen.runs import Run
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli

FEW = ["--set", "epochs=3", "--set", "dim=8"]


@pytest.fixture
def train(cli: Cli, ready: Workspace):
    """Train LightGCN for a few epochs in the workspace ``ready``."""

    def run(*options: object, workspace: Path = ready.path, model: str = "lightgcn") -> Run:
        told = cli("train", workspace, "--model", model, *FEW, *options, "--json").json()
        return Run.open(told["run"])

    return run


def weights(run: Run) -> bytes:
    return (run.model_dir / "model.safetensors").read_bytes()


def files(run: Run) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in run.folder.rglob("*")}


def test_the_same_command_returns_the_finished_run(train) -> None:
    run = train()
    before = files(run)
    again = train()
    assert again.folder == run.folder
    assert files(again) == before


def test_the_same_command_elsewhere_gives_the_same_model(
    train, described: Path, tmp_path: Path
) -> None:
    elsewhere = shutil.copytree(described, tmp_path / "elsewhere")
    of_base = ["--set", "base.epochs=3", "--set", "base.dim=8", "--set", "heads=2"]
    for model, options in {"lightgcn": [], "neggen": of_base}.items():
        here = train(*options, model=model)
        there = train(*options, model=model, workspace=elsewhere)
        assert here.folder.name == there.folder.name
        assert weights(here) == weights(there)


def test_seeds(train) -> None:
    plain = train()
    seeded, split_seeded = train("--seed", 1), train("--seed", 1, "--split-seed", 0)
    assert len({run.folder for run in (plain, seeded, split_seeded)}) == 3
    assert len({weights(run) for run in (plain, seeded, split_seeded)}) == 3
    assert [run.manifest["split"]["seed"] for run in (plain, seeded, split_seeded)] == [0, 1, 0]
    assert [run.manifest["settings"]["seed"] for run in (plain, seeded, split_seeded)] == [0, 1, 1]
    same_split = (plain.load_data().train != split_seeded.load_data().train).nnz == 0
    assert same_split
    assert (plain.load_data().train != seeded.load_data().train).nnz > 0


@pytest.mark.parametrize(
    "split", ["random", "leave-last", "time", "cold-items", "popularity-shifted"]
)
def test_splits(train, split: str) -> None:
    run = train("--split", split)
    assert run.manifest["split"]["kind"] == split
    assert split in run.folder.name
    data = run.load_data()
    if split == "cold-items":
        assert not set(data.train.indices) & set(data.test.indices)
    if split == "leave-last":
        assert np.diff(data.test.indptr).max() == 1


def test_a_recipe_and_what_is_typed_over_it(train, cli: Cli, ready: Workspace, tmp_path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'model = "lightgcn"\nsplit = "leave-last"\nseed = 3\n[settings]\nepochs = 3\ndim = 8\n',
        encoding="utf-8",
    )
    told = cli("train", ready.path, "--config", recipe, "--json").json()
    assert Path(told["run"]) == train("--split", "leave-last", "--seed", 3).folder
    changed = cli(
        "train", ready.path, "--config", recipe, "--set", "dim=4", "--seed", 4, "--json"
    ).json()
    settings = Run.open(changed["run"]).manifest["settings"]
    assert (settings["epochs"], settings["dim"], settings["seed"]) == (3, 4, 4)


def test_a_name_is_the_folder(train, ready: Workspace) -> None:
    run = train("--name", "mine")
    assert run.folder == ready.runs_dir / "mine"
    assert weights(run) == weights(train()), "a name changes nothing else"


def test_neggen_starts_from_the_finished_base(train) -> None:
    base = train()
    before = files(base)
    settings = ["--set", "base.epochs=3", "--set", "base.dim=8", "--set", "heads=2"]
    run = train(*settings, model="neggen")
    assert list(run.history) == ["neggen"]
    assert files(base) == before
    assert len(list(run.folder.parent.iterdir())) == 2
    other = train(*settings[:-1], "heads=4", model="neggen")
    assert other.folder != run.folder
    assert len(list(run.folder.parent.iterdir())) == 3


def test_evaluate_says_when_a_list_holds_all_that_is_ranked(cli: Cli, tmp_path: Path) -> None:
    log = [(u, i) for u in range(12) for i in range(30) if (u + i) % 3]
    (source := tmp_path / "source").mkdir()
    (source / "items.csv").write_text("item_id\n" + "".join(f"i{i}\n" for i in range(30)))
    rows = "".join(f"u{u},i{i}\n" for u, i in log)
    (source / "interactions.csv").write_text(f"user_id,item_id\n{rows}")
    place = tmp_path / "w"
    assert cli("import", source, place).code == 0

    def said(split: str) -> str:
        run = cli("train", place, "--model", "popularity", "--split", split, "--json").json()["run"]
        return cli("evaluate", run).remark()

    assert "@20" not in said("random")
    assert "Only 3 items are ranked on test, so @20 holds them all." in said("cold-items")


def test_evaluate_tells_of_slices_and_beyond_accuracy(cli: Cli, ready: Workspace, train) -> None:
    run = train()
    told = cli("evaluate", run.folder, "--on", "valid", "--on", "test").out.splitlines()
    (tail,) = [line for line in told if "NDCG@20 of the tail" in line]
    expected = [f"{run.metrics[part]['tail/ndcg@20']:.4f}" for part in ("valid", "test")]
    assert tail.replace("│", " ").split()[-2:] == expected
    assert any("novelty@20" in line for line in told)


def test_a_run_is_trained_again_on_everything(cli: Cli, ready: Workspace, train) -> None:
    run = train()
    told = cli("refit", run.folder)
    assert told.code == 0, told.err
    made = ready.runs_dir / f"{run.folder.name}-refit"
    assert f"Next: neggen serve {made}" in told.remark()
    assert cli("refit", run.folder, "--json").json()["run"] == str(made), "it is finished"
    user = load_dataset(ready).user_ids[0]
    assert len(cli("recommend", made, "--user", user, "-k", 3, "--json").json()) == 3
    refused = cli("evaluate", made)
    assert refused.code == 2
    assert "since this model has learned from all of them" in refused.remark()
    assert "has learned from all interactions already" in cli("refit", made).remark()


def test_it_tells_what_each_modality_is_worth(cli: Cli, ready: Workspace) -> None:
    few = [*FEW, "--set", "heads=2", "--set", "base.epochs=3", "--set", "base.dim=8"]
    told = cli("train", ready.path, "--model", "neggen", *few)
    assert "What validation NDCG@20 loses without each modality: text " in told.remark()
    again = cli("train", ready.path, "--model", "neggen", *few, "--json").json()
    assert again["modality_shares"] == Run.open(again["run"]).manifest["modality_shares"]
    plain = cli("train", ready.path, "--model", "mf", *FEW, "--json").json()
    assert "modality_shares" not in plain


def test_what_was_imported_since_is_seen_from_the_items_alone(
    cli: Cli, ready: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the interactions are read once, where they are learned from")

    items = pl.read_parquet(ready.items_path)
    items.with_columns(pl.lit("new").alias("season")).write_parquet(ready.items_path)
    monkeypatch.setattr(store, "load_dataset", refuse)
    ended = cli("train", ready.path, "--model", "neggen-linear")
    assert "records of" in ended.remark()
    assert "describe an earlier import" in ended.remark()
