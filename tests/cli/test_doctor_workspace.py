"""What the doctor finds in a workspace, each part of which is broken in turn."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from neggen.cli.checkup.workspace import workspace_checks
from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.shop import make_shop
from neggen.data.store import load_dataset, save_dataset
from neggen.encoding.store import encode
from neggen.encoding.text import EMBEDDED
from neggen.errors import NegGenError
from neggen.generation.journal.owner import Owner, owners_folder
from neggen.generation.record_files import read_records
from neggen.runs import Run, train_run
from neggen.workspace import UNFINISHED, Workspace, read_toml, write_toml

if TYPE_CHECKING:
    from conftest import Cli


def finding(place: Workspace, name: str) -> str:
    """What a check says, or ``FAILS: `` and why."""
    try:
        return workspace_checks(place.path)[name]()
    except NegGenError as error:
        return f"FAILS: {error}"


@pytest.fixture
def trained(ready: Workspace) -> tuple[Workspace, Run]:
    """A workspace with a run that learned from its vectors."""
    return ready, train_run(ready, "neggen-linear", {}, SplitConfig())


def cut(path: Path) -> None:
    """Lose the second half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_a_sound_workspace_is_sound(trained: tuple[Workspace, Run]) -> None:
    place, run = trained
    for name in workspace_checks(place.path):
        assert not finding(place, name).startswith("FAILS"), name
    assert finding(place, f"run {run.folder.name}") == ""
    assert finding(place, "runs") == run.folder.name
    assert finding(place, "splits") == "random-0"
    assert finding(place, "vectors").endswith("by words")


def test_an_interrupted_import_says_so(ready: Workspace) -> None:
    (ready.path / UNFINISHED).write_text("somewhere")
    ready.manifest_path.unlink()
    assert list(workspace_checks(ready.path)) == ["workspace"]
    assert "was interrupted, or is on its way" in finding(ready, "workspace")


@pytest.mark.parametrize("table", ["items", "users", "interactions"])
def test_damaged_tables_fail(ready: Workspace, table: str) -> None:
    path = ready.path / f"{table}.parquet"
    cut(path)
    assert finding(ready, "workspace").startswith(f"FAILS: {path} is not a Parquet file")
    path.unlink()
    assert finding(ready, "workspace").startswith(f"FAILS: {path} is missing")


def test_tables_of_another_import_fail(ready: Workspace) -> None:
    write_toml(ready.manifest_path, {**ready.manifest(), "content_hash": "0" * 64})
    assert f"not those that were imported; delete {ready.manifest_path}" in (
        finding(ready, "workspace")
    )


def test_pictures_that_are_gone_or_exchanged_fail(tmp_path: Path) -> None:
    shop = make_shop(40, 20, interactions_per_user=5)
    shop.draw(tmp_path / "drawn")
    place = Workspace(tmp_path / "w")
    data = Dataset.from_frames(shop.interactions, shop.items, tmp_path / "drawn")
    save_dataset(place, data, source="the built-in shop")
    assert finding(place, "pictures") == "all 38 as imported"
    first, second, third, *_ = sorted(place.image_dir.iterdir())
    first.unlink()
    shutil.copy(third, second)
    found = finding(place, "pictures")
    assert found.startswith("FAILS: 2 of 38 pictures")
    assert f"'{first.stem}' (no such file), '{second.stem}' (another one)" in found
    assert f"delete {place.manifest_path} and import the source again with --overwrite" in found
    place.manifest_path.unlink()
    save_dataset(place, data, source="the built-in shop", overwrite=True)
    assert finding(place, "pictures") == "all 38 as imported"


def test_a_damaged_split_fails_and_is_drawn_again(ready: Workspace) -> None:
    drawn = load_dataset(ready, SplitConfig()).parts
    table = ready.splits_dir / "random-0.parquet"
    cut(table)
    assert finding(ready, "splits").startswith(f"FAILS: {table} is damaged")
    table.unlink()
    table.with_suffix(".toml").unlink()
    again = load_dataset(ready, SplitConfig()).parts
    assert drawn is not None
    assert again is not None
    assert (drawn == again).all()
    assert finding(ready, "splits") == "random-0"


def test_a_locked_journal_fails(ready: Workspace) -> None:
    assert not finding(ready, "journal").startswith("FAILS")
    with closing(sqlite3.connect(ready.journal_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "cannot be written now (database is locked)" in finding(ready, "journal")
    assert not finding(ready, "journal").startswith("FAILS")


def test_what_was_given_up_or_left_is_noted(ready: Workspace) -> None:
    with closing(sqlite3.connect(ready.journal_path)) as journal:
        journal.execute("UPDATE units SET state = 'dead', kind = 'k', reason = 'r' WHERE rowid = 1")
        journal.execute("UPDATE units SET state = 'claimed', owner = 'x' WHERE rowid IN (2, 3)")
        journal.commit()
    found = finding(ready, "journal")
    assert f"1 given up; see why with: neggen journal {ready.path} --failed" in found
    assert "2 sides of items unfinished: the same neggen generate command goes on" in found
    owner = Owner(owners_folder(ready.journal_path))
    assert "unfinished: another process is at it" in finding(ready, "journal")
    owner.close()


def test_a_generation_that_gave_nothing_is_no_loss(ready: Workspace) -> None:
    with closing(sqlite3.connect(ready.journal_path)) as journal:
        journal.execute("DELETE FROM answers")
        journal.execute("UPDATE units SET state = 'dead', kind = 'k', reason = 'r'")
        journal.commit()
    assert "is empty, yet there are records" in finding(ready, "journal")
    read_records(ready.records_path).clear().write_parquet(ready.records_path)
    assert "0 answers, 60 given up" in finding(ready, "journal")
    assert finding(ready, "records").startswith("none yet; make them with")
    assert finding(ready, "vectors").startswith("none yet")


def test_damaged_records_fail(ready: Workspace) -> None:
    cut(ready.records_path)
    assert "not a readable Parquet file" in finding(ready, "records")
    ready.records_path.unlink()
    assert finding(ready, "records").endswith(f"neggen generate {ready.path}")
    assert finding(ready, "vectors").startswith("none yet")


def test_damaged_or_missing_vectors_fail(ready: Workspace) -> None:
    (file,) = ready.vectors_dir.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")  # of the vectors, behind the header
    content[start : start + 4] = b"\x00\x00\xc0\x7f"  # which is no number
    file.write_bytes(content)
    assert "are no finite numbers; delete that folder" in finding(ready, "vectors")
    cut(file)
    assert f"FAILS: {file} is damaged" in finding(ready, "vectors")
    file.unlink()
    assert "are not encoded, the first being" in finding(ready, "vectors")
    shutil.rmtree(ready.vectors_dir)
    assert finding(ready, "vectors").endswith(f"neggen encode {ready.path}")


def test_vectors_of_another_version_of_the_encoder_fail(ready: Workspace) -> None:
    manifest = ready.vectors_dir / "manifest.toml"
    write_toml(manifest, {**read_toml(manifest), "encoder": EMBEDDED})
    assert f"another version of {EMBEDDED} than is installed" in finding(ready, "vectors")


class Lengths:
    """Another encoder: how long texts and their words are."""

    name, fingerprint = "lengths", "f" * 64

    def encode(self, texts, on_progress=None):
        rows = [[len(text), *(len(word) for word in text.split()[:2]), 1] for text in texts]
        vectors = np.array([(row + [0] * 4)[:4] for row in rows], dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_run_on_other_vectors_fails(trained: tuple[Workspace, Run]) -> None:
    place, run = trained
    encode(place, load_dataset(place), read_records(place.records_path), Lengths())
    assert finding(place, "vectors").endswith("by lengths")
    found = finding(place, f"run {run.folder.name}")
    assert "trained on other descriptions or vectors" in found
    assert "train again with --overwrite" in found


def test_a_run_on_other_data_fails(trained: tuple[Workspace, Run]) -> None:
    place, run = trained
    written = read_toml(run.manifest_path)
    write_toml(run.manifest_path, {**written, "content_hash": "0" * 64})
    assert "trained on other data" in finding(place, f"run {run.folder.name}")
    cut(place.items_path)  # then nobody can tell, which the first check says
    assert finding(place, f"run {run.folder.name}") == ""
    assert finding(place, "workspace").startswith("FAILS")


@pytest.mark.parametrize(
    "file", ["run.toml", "history.json", "model/config.toml", "model/model.safetensors"]
)
def test_a_damaged_run_fails(trained: tuple[Workspace, Run], file: str) -> None:
    place, run = trained
    path = run.folder / file
    path.write_bytes(b"\xff" + path.read_bytes()[:20])
    assert finding(place, f"run {run.folder.name}").startswith("FAILS: is damaged (")
    if file != "run.toml":
        path.unlink()
        assert finding(place, f"run {run.folder.name}").startswith("FAILS: is damaged (")


def test_an_unfinished_run_is_noted(trained: tuple[Workspace, Run], cli: Cli) -> None:
    place, run = trained
    run.manifest_path.unlink()
    ended = cli("doctor", place.path, "--json")
    found: dict[str, Any] = json.loads(ended.out)[f"run {run.folder.name}"]
    assert ended.code == 0
    assert (found["ok"], found["level"]) == (True, "note")
    assert "is not finished" in found["finding"]
