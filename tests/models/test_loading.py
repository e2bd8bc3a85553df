"""``neggen.load``: a saved model, wherever it lies."""

from __future__ import annotations

from pathlib import Path

import neggen
from neggen.config import SplitConfig
from neggen.runs import train_run
from neggen.testing import refuses
from neggen.workspace import Workspace


def test_a_run_is_a_model(ready: Workspace) -> None:
    run = train_run(ready, "ease", {}, SplitConfig())
    users = run.load_data().user_ids.to_list()
    by_run, by_folder = neggen.load(run.folder), neggen.load(run.model_dir)
    assert by_run.name == "ease"
    assert by_run.score(users).equals(by_folder.score(users))


def test_says_what_can_be_loaded(tmp_path: Path) -> None:
    with refuses(str(tmp_path), "no config.toml", "name a run"):
        neggen.load(tmp_path)
