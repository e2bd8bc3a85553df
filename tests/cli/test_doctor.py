"""What the doctor finds in a workspace that something happened to."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from neggen.data.store import load_dataset, save_dataset
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli


def findings(cli: Cli, workspace: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("doctor", workspace.path, "--json").out)
    return found


def test_a_journal_is_counted(cli: Cli, ready: Workspace) -> None:
    finding = findings(cli, ready)["journal"]
    assert finding["ok"]
    with_answers = int(finding["finding"].split()[0].replace(",", ""))
    assert with_answers >= 50
    assert "given up" in finding["finding"]
    ready.journal_path.unlink()
    finding = findings(cli, ready)["journal"]
    assert finding["ok"]
    assert finding["finding"] == "none: neggen generate would ask for everything anew"
    ready.records_path.unlink()
    nothing = {"ok": True, "level": "ok", "finding": "none yet"}
    assert findings(cli, ready)["journal"] == nothing


def test_an_empty_journal_beside_records_is_a_loss(cli: Cli, ready: Workspace) -> None:
    for log in ready.path.glob("journal.sqlite-*"):
        assert log.is_dir()
    ready.journal_path.write_bytes(b"")
    finding = findings(cli, ready)["journal"]
    assert not finding["ok"]
    assert "is empty, yet there are records" in finding["finding"]
    ready.records_path.unlink()
    assert findings(cli, ready)["journal"]["ok"]


@pytest.mark.parametrize("damage", ["pages", "header"])
def test_a_damaged_journal_fails(cli: Cli, ready: Workspace, damage: str) -> None:
    content = bytearray(ready.journal_path.read_bytes())
    start, end = (0, 100) if damage == "header" else (4096 * 6, 4096 * 8)
    assert end < len(content)
    content[start:end] = b"\xa5\x3c" * ((end - start) // 2)
    ready.journal_path.write_bytes(content)
    ended = cli("doctor", ready.path)
    assert ended.code == 1
    finding = findings(cli, ready)["journal"]
    assert not finding["ok"]
    expected = "file is not a database" if damage == "header" else "--export"
    assert expected in finding["finding"]


def test_records_of_an_earlier_import_fail_and_are_remarked_on(cli: Cli, ready: Workspace) -> None:
    assert findings(cli, ready)["records"]["ok"]
    data = load_dataset(ready)
    table = data.item_table.with_columns(title=pl.lit("Changed ") + pl.col("title"))
    save_dataset(ready, data.replace(item_table=table), source="elsewhere", overwrite=True)
    finding = findings(cli, ready)["records"]
    assert not finding["ok"]
    assert f"The text records of {ready.path} describe an earlier import" in finding["finding"]
    few = ["--set", "epochs=1", "--set", "base.epochs=1", "--set", "heads=1"]
    for command in (["encode", ready.path], ["train", ready.path, *few]):
        ended = cli(*command)
        assert ended.code == 0, ended.err
        assert "describe an earlier import" in ended.remark()
    assert "earlier import" not in cli("train", ready.path, "--model", "popularity").err
    assert cli("generate", ready.path).code == 0
    assert findings(cli, ready)["records"]["ok"]
    assert "earlier import" not in cli("encode", ready.path).err


def test_a_disk_without_room_fails(cli: Cli, tmp_path: Path) -> None:
    assert findings(cli, Workspace(tmp_path))["disk"]["ok"], "these tests need 100 MB"
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("only the superuser can mount a small file system here")
    try:
        finding = findings(cli, Workspace(folder / "w"))["disk"]
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert not finding["ok"]
    assert "Only 6 MB are free" in finding["finding"]
