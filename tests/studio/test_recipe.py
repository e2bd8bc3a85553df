"""The commands that make it again."""

from __future__ import annotations

import shlex
from pathlib import Path

from neggen.config import SplitConfig
from neggen.studio.groups import group_runs
from neggen.studio.recipe import commands, run_recipes
from neggen.workspace import Workspace

SHARED = SplitConfig(kind="time", test_share=0.2)


def test_only_what_differs_from_the_defaults_is_typed(written_run):
    settings = {"seed": 3, "layers": 2, "dim": 64}
    run = written_run("lightgcn", {}, seed=3, split_seed=1, settings=settings)
    lines = commands(
        Workspace(Path("my shop")),
        {"source": "a b.csv; rm -rf /"},
        [
            "catalogue (no language model)",
            "openai-compatible: Qwen3 VL",
            "local: Q",
            "recorded",
            "by hand",
        ],
        group_runs([run]),
    )
    assert lines == [
        "neggen import 'a b.csv; rm -rf /' 'my shop'",
        "neggen generate 'my shop'",
        "neggen generate 'my shop' --model 'Qwen3 VL'",
        "neggen generate 'my shop' --local Q",
        "neggen generate 'my shop' --answers FILE",
        "neggen train 'my shop' --model lightgcn --split random --seed 3 --split-seed 1 "
        "--set layers=2 --name lightgcn-1-3",
        f"neggen evaluate {shlex.quote(str(run.folder))}",
    ]


def test_an_encoding_that_was_cut_short_is_not_typed(written_run, tmp_path):
    workspace = Workspace(tmp_path / "w")
    workspace.vectors_dir.mkdir(parents=True)
    lines = commands(workspace, {"source": "s"}, [], group_runs([written_run("ease", {})]))
    assert not any(line.startswith("neggen encode") for line in lines)


def test_shares_of_the_split_are_typed_where_they_are_other_than_usual(written_run):
    run = written_run("ease", {}, split=SHARED.model_dump())
    lines = commands(Workspace(Path("w")), {"source": "s"}, [], group_runs([run]))
    assert "neggen train w --model ease --split time --test-share 0.2 --name" in lines[-2]


def test_a_run_on_everything_is_made_of_another(written_run):
    run = written_run("mf", {}, settings={"seed": 0, "epochs": 7}, split={"kind": "everything"})
    (_, refit) = commands(Workspace(Path("w")), {"source": "s"}, [], group_runs([run]))
    assert refit == f"neggen refit RUN --name {run.folder.name}"


def test_nested_settings_are_listed_with_dots(written_run):
    run = written_run("neggen", {}, settings={"seed": 0, "base": {"layers": 2}})
    (recipe,) = run_recipes(group_runs([run]))
    assert ("settings.base.layers", "2") in recipe.settings
    assert recipe.title == "NegGen"
