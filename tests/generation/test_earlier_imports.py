"""Records say which texts and pictures they describe, and a damaged file is told before asking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from PIL import Image

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.record_files import earlier_import, read_records
from neggen.generation.run import generate
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer


@pytest.fixture
def ask(server: ChatServer, tmp_path: Path) -> Callable[..., Path]:
    """Generate for a data set in one workspace; returns the file of its records."""

    def run(data: Dataset, *modalities: str) -> Path:
        workspace = Workspace(tmp_path / "w")
        backend = OpenAICompatibleBackend(server.url, "m")
        generate(workspace, data, backend, modalities=modalities or None)
        return workspace.records_path

    return run


def items(folder: Path, *, title: str = "Mug", color: str = "red", pictures: int = 2) -> Dataset:
    for number in range(2):
        Image.new("RGB", (8, 8), color).save(folder / f"{number}.png")
    names = [f"{number}.png" if number < pictures else None for number in range(2)]
    table = pl.DataFrame({"item_id": ["a", "b"], "image": names, "title": [title, "Lamp"]})
    log = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"]})
    return Dataset.from_frames(log, table, folder)


def test_a_changed_text_is_noticed_until_it_is_described(
    ask: Callable[..., Path], server: ChatServer, tmp_path: Path
) -> None:
    path = ask(items(tmp_path))
    assert earlier_import(path, items(tmp_path)) is None
    changed = items(tmp_path, title="Cup")
    told = earlier_import(path, changed)
    assert told is not None
    assert f"The text records of {path.parent} describe an earlier import" in told
    asked = len(server.calls)
    ask(changed)
    assert len(server.calls) == asked + 1, "only what changed is asked"
    assert earlier_import(path, changed) is None


def test_sides_are_told_apart(ask: Callable[..., Path], tmp_path: Path) -> None:
    path = ask(items(tmp_path))
    changed = items(tmp_path, title="Cup", color="blue")
    assert "The image and text records" in str(earlier_import(path, changed))
    ask(changed, "text")
    assert "The image records" in str(earlier_import(path, changed))
    assert "The text records" in str(earlier_import(path, items(tmp_path, color="red")))
    ask(changed, "image")
    assert earlier_import(path, changed) is None
    assert len(read_records(path)) == 4


def test_what_no_record_is_made_from_does_not_matter(
    ask: Callable[..., Path], tmp_path: Path
) -> None:
    data = items(tmp_path)
    path = ask(data, "text")
    assert earlier_import(path, items(tmp_path, color="blue")) is None
    turned = data.item_table.reverse()
    log = pl.DataFrame({"user_id": ["v"] * 2, "item_id": ["b", "a"]})
    other = Dataset.from_frames(log, turned.drop("image_sha256"), tmp_path)
    assert other.content_hash != data.content_hash
    assert earlier_import(path, other) is None


def test_records_of_a_side_that_no_item_has_any_more_go(
    ask: Callable[..., Path], tmp_path: Path
) -> None:
    path = ask(items(tmp_path))
    without = items(tmp_path, pictures=0)
    assert "The image records" in str(earlier_import(path, without))
    ask(without)
    assert earlier_import(path, without) is None
    assert read_records(path)["modality"].to_list() == ["text", "text"]


def test_records_that_do_not_tell_are_taken_as_they_are(
    ask: Callable[..., Path], tmp_path: Path
) -> None:
    path = ask(items(tmp_path))
    read_records(path).write_parquet(path)
    assert earlier_import(path, items(tmp_path, title="Cup", color="blue")) is None
    assert earlier_import(tmp_path / "none.parquet", items(tmp_path)) is None


def test_a_damaged_file_is_told_before_anything_is_asked(
    ask: Callable[..., Path], server: ChatServer, tmp_path: Path
) -> None:
    data = items(tmp_path)
    path = ask(data)
    whole = read_records(path)
    path.write_bytes(path.read_bytes()[:-20])
    server.calls.clear()
    with pytest.raises(NegGenError, match=r"not a readable Parquet file .*; delete it and give"):
        ask(items(tmp_path, title="Cup"))
    assert server.calls == []
    path.unlink()
    ask(data)
    assert server.calls == [], "all answers are in the journal"
    assert read_records(path).equals(whole)
