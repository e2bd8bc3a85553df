"""``neggen export`` and ``neggen export-data``, as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neggen.config import SplitConfig
from neggen.data.readers import read_source
from neggen.data.store import load_dataset
from neggen.runs import train_run
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli


def test_export_tells_what_it_checked(cli: Cli, ready: Workspace, tmp_path: Path) -> None:
    run = train_run(ready, "ease", {}, SplitConfig()).folder
    to = tmp_path / "out"
    ended = cli("export", run, "--to", to, "--format", "onnx", "--format", "hub", "--json")
    assert ended.json()["formats"]["onnx"]["checked users"] > 0
    assert f"neggen evaluate {run}" in ended.remark()
    assert sorted(path.name for path in to.iterdir()) == ["hub", "onnx"]
    again = cli("export", run, "--to", to, "--format", "onnx")
    assert again.code == 2
    assert "--overwrite" in again.err
    assert cli("export", run, "--to", to, "--format", "onnx", "--overwrite").code == 0
    refused = cli("export", run, "--to", to, "--format", "faiss")
    assert refused.code == 2
    assert "--format onnx" in refused.err


def test_export_data_tells_what_is_lost(cli: Cli, ready: Workspace, tmp_path: Path) -> None:
    data = load_dataset(ready)
    told = cli("export-data", ready.path, tmp_path / "a", "--format", "jsonl", "--verify", "--json")
    assert told.json()["notes"] == []
    assert told.json()["same"] is True
    assert read_source(tmp_path / "a").content_hash == data.content_hash
    lossy = cli("export-data", ready.path, tmp_path / "b", "--format", "mmrec", "--verify")
    assert "no place for the times" in lossy.remark()
    assert "other data" in lossy.out
    assert cli("export-data", ready.path, tmp_path / "b", "--format", "csv").code == 2
