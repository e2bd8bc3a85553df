"""What goes into a workspace comes out of it, and nobody's files are overwritten unasked."""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from neggen.config import SplitConfig
from neggen.data import store, stored_files
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset, save_dataset
from neggen.data.vectors import Features, ItemGraph
from neggen.errors import NegGenError
from neggen.generation.inputs import side_hash
from neggen.generation.records import MODALITIES
from neggen.workspace import Workspace, read_toml


def full_dataset(folder: Path, color: str = "red") -> Dataset:
    """A data set that uses everything: time, labels, pictures, features, a graph, a test set."""
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color).save(folder / "sub" / "0.png")
    users, items = np.divmod(np.arange(60), 10)
    log = pl.DataFrame(
        {
            "user_id": [f"user {user}" for user in users],
            "item_id": items,
            "timestamp": np.arange(60).astype("datetime64[us]"),
            "part": ["train", "train", "train", "valid", "test", "train"] * 10,
        }
    )
    table = pl.DataFrame(
        {
            "item_id": range(10),
            "image": ["sub/0.png", "gone.png", *[None] * 8],
            "title": [f"thing {item}" for item in range(10)],
            "price": [1.5, None] * 5,
            "tags": [["a", "b"], []] * 5,
        }
    )
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    return Dataset.from_frames(log, table, folder).replace(
        features={"audio": Features(values, values[:, 0] > 3)},
        graphs={"text": ItemGraph(np.arange(10, dtype=np.int32)[:, None] - 1, values[:, :1] / 20)},
        test_sets={"shifted": np.array([[0, 3], [5, 9]], dtype=np.int32)},
    )


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return full_dataset(tmp_path / "source")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "shop")


def test_round_trip_keeps_everything(data: Dataset, workspace: Workspace) -> None:
    assert save_dataset(workspace, data, source="here")
    loaded = load_dataset(Workspace.open(workspace.path))
    assert loaded.content_hash == data.content_hash
    assert loaded.notes == data.notes
    assert loaded.item_text(0) == data.item_text(0)
    assert loaded.time is not None
    assert data.time is not None
    assert (loaded.time == data.time).all()
    assert loaded.image_path(0) == workspace.image_dir / "sub" / "0.png"
    assert (loaded.matrix("shifted") != data.matrix("shifted")).nnz == 0
    for kept, had in ((loaded.features, data.features), (loaded.graphs, data.graphs)):
        assert kept.keys() == had.keys()
        for name in had:
            arrays = zip(vars(kept[name]).values(), vars(had[name]).values(), strict=True)
            assert all((one == other).all() and one.dtype == other.dtype for one, other in arrays)
    manifest = workspace.manifest()
    assert manifest["source"] == "here"
    assert manifest["content_hash"] == data.content_hash
    assert manifest["counts"] == {"users": 6, "items": 10, "interactions": 60, "pictures": 1}


NAMES = st.text(min_size=1).filter(str.strip)  # of white space alone they are no ids


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=20), k=st.integers(1, 2))
def test_round_trip_of_any_ids(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], k: int
) -> None:
    log = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    data = Dataset.from_frames(log)
    try:
        data = data.k_core(k)
    except NegGenError:  # all are alike, but for what is counted
        assert k == 2
    workspace = Workspace(tmp_path_factory.mktemp("any"))
    save_dataset(workspace, data, source="here")
    assert load_dataset(workspace).content_hash == data.content_hash


def test_pictures_stay_what_was_imported(data: Dataset, workspace: Workspace) -> None:
    original = data.image_path(0)
    assert original is not None
    imported = original.read_bytes()
    save_dataset(workspace, data, source="here")
    original.write_bytes(b"another picture, saved over the file")
    held = load_dataset(workspace)
    copy = held.image_path(0)
    assert copy is not None
    assert copy.read_bytes() == imported
    assert hashlib.sha256(imported).hexdigest() == held.item_table["image_sha256"][0]
    # What was read and what is copied are the same, or nothing is written.
    with pytest.raises(NegGenError, match=r"0\.png changed after it was read; read .* again"):
        save_dataset(Workspace(workspace.path.parent / "late"), data, source="here")
    original.unlink()
    with pytest.raises(NegGenError, match=r"0\.png cannot be read any more \(no such file\)"):
        save_dataset(Workspace(workspace.path.parent / "later"), data, source="here")


def test_links_of_an_earlier_version_become_copies(data: Dataset, workspace: Workspace) -> None:
    original = data.image_path(0)
    assert original is not None
    save_dataset(workspace, data, source="here")
    linked = workspace.image_dir / "sub" / "0.png"
    linked.unlink()
    os.link(original, linked)
    changed = data.replace(test_sets={})
    save_dataset(workspace, changed, source="here", overwrite=True)
    assert not linked.samefile(original)
    assert linked.read_bytes() == original.read_bytes()


def test_a_workspace_can_be_saved_over_itself(data: Dataset, workspace: Workspace) -> None:
    save_dataset(workspace, data, source="here")
    held = load_dataset(workspace).replace(test_sets={})
    save_dataset(workspace, held, source="there", overwrite=True)
    assert load_dataset(workspace).content_hash == held.content_hash
    assert (workspace.image_dir / "sub" / "0.png").stat().st_size


def test_the_same_content_again_changes_nothing(data: Dataset, workspace: Workspace) -> None:
    save_dataset(workspace, data, source="here")
    before = workspace.manifest_path.read_text()
    assert not save_dataset(workspace, load_dataset(workspace), source="there")
    assert workspace.manifest_path.read_text() == before


def test_other_content_needs_overwrite(data: Dataset, workspace: Workspace, tmp_path: Path) -> None:
    save_dataset(workspace, data, source="here")
    load_dataset(workspace, SplitConfig())
    workspace.journal_path.write_text("paid answers")
    other = full_dataset(tmp_path / "other", "blue").k_core(6)
    other = other.replace(
        features={},
        graphs={},
        test_sets={},
        item_table=other.item_table.with_columns(image=pl.lit(None, dtype=pl.String)),
    )
    with pytest.raises(NegGenError, match=r"already holds other data .imported from here"):
        save_dataset(workspace, other, source="there")
    assert load_dataset(workspace).content_hash == data.content_hash
    assert save_dataset(workspace, other, source="there", overwrite=True)
    assert load_dataset(workspace).content_hash == other.content_hash
    assert not list(workspace.image_dir.rglob("*.png"))
    assert not workspace.splits_dir.exists()
    assert workspace.journal_path.read_text() == "paid answers"


def test_somebody_elses_folder_is_left_alone(data: Dataset, workspace: Workspace) -> None:
    workspace.path.mkdir()
    workspace.items_path.write_text("mine")
    with pytest.raises(NegGenError, match=r"items.parquet exists, yet .* is not a workspace"):
        save_dataset(workspace, data, source="here")
    assert workspace.items_path.read_text() == "mine"


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_goes_wrong_while_it_is_written_leaves_the_earlier_data(
    data: Dataset, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_dataset(workspace, data, source="here")
    split = load_dataset(workspace, SplitConfig()).split_hash
    other = full_dataset(tmp_path / "other", "blue").replace(test_sets={})

    def still_there() -> None:
        held = load_dataset(Workspace.open(workspace.path), SplitConfig())
        assert held.content_hash == data.content_hash
        assert held.split_hash == split
        picture = held.image_path(0)
        assert picture is not None
        digest = hashlib.sha256(picture.read_bytes()).hexdigest()
        assert digest == held.item_table["image_sha256"][0]
        names = {path.name for path in workspace.path.iterdir() if path.name.startswith(".")}
        assert names == {".locks"}

    monkeypatch.setattr(stored_files, "save_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_dataset(workspace, other, source="there", overwrite=True)
    still_there()
    monkeypatch.undo()
    assert other.image_dir is not None
    (other.image_dir / "sub" / "0.png").write_bytes(b"changed")
    with pytest.raises(NegGenError, match="changed after it was read"):
        save_dataset(workspace, other, source="there", overwrite=True)
    still_there()


def test_an_import_interrupted_in_place_leaves_no_workspace(
    data: Dataset, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_dataset(workspace, data, source="here")
    monkeypatch.setattr(shutil, "move", interrupt)
    other = data.replace(test_sets={})
    with pytest.raises(KeyboardInterrupt):
        save_dataset(workspace, other, source="here", overwrite=True)
    with pytest.raises(NegGenError, match=r"was interrupted, or is on its way"):
        Workspace.open(workspace.path)
    monkeypatch.undo()
    assert save_dataset(workspace, other, source="here", overwrite=True)
    assert load_dataset(workspace).content_hash == other.content_hash
    assert not list(workspace.path.rglob("*.tmp"))


def test_one_process_at_a_time_imports(
    data: Dataset, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, refused = store.copy_pictures, []

    def import_it_too(*details: Any) -> None:
        with ThreadPoolExecutor(1) as other:
            options = {"source": "there", "overwrite": True}
            refused.append(other.submit(save_dataset, workspace, data, **options).exception())
        copy(*details)

    monkeypatch.setattr(store, "copy_pictures", import_it_too)
    save_dataset(workspace, data, source="here")
    assert "Another process is importing" in str(refused[0])
    assert Workspace.open(workspace.path).manifest()["source"] == "here"
    assert load_dataset(workspace).content_hash == data.content_hash


@pytest.mark.parametrize("step", ["write_parquet", "save_file", "copy_pictures", "put_in_place"])
def test_an_interrupted_import_goes_on(
    data: Dataset, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    places = {"write_parquet": pl.DataFrame, "save_file": stored_files}
    monkeypatch.setattr(places.get(step, store), step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_dataset(workspace, data, source="here")
    monkeypatch.undo()
    assert save_dataset(workspace, data, source="here")
    assert load_dataset(Workspace.open(workspace.path)).content_hash == data.content_hash
    assert not (workspace.path / store.UNFINISHED).exists()
    assert not (workspace.path / store.STAGED).exists()
    # From now on it is a workspace like any other, or if spoiled, somebody's folder.
    workspace.manifest_path.unlink()
    with pytest.raises(NegGenError, match="somebody else's folder"):
        save_dataset(workspace, data, source="here")


def test_files_and_folders_may_change_places(
    data: Dataset, workspace: Workspace, tmp_path: Path
) -> None:
    save_dataset(workspace, data, source="here")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "blue.png")
    (tmp_path / "flat").mkdir()
    (tmp_path / "blue.png").rename(tmp_path / "flat" / "sub")
    flat = Dataset.from_frames(
        None, pl.DataFrame({"item_id": ["a"], "image": ["sub"]}), tmp_path / "flat"
    )
    for each in (flat, data, flat):
        save_dataset(workspace, each, source="there", overwrite=True)
        held = load_dataset(workspace)
        assert held.content_hash == each.content_hash
        picture = held.image_path(0)
        assert picture is not None
        digest = hashlib.sha256(picture.read_bytes()).hexdigest()
        assert digest == each.item_table["image_sha256"][0]


def test_the_items_alone_are_those_of_the_data(data: Dataset, workspace: Workspace) -> None:
    save_dataset(workspace, data, source="here")
    whole, items = load_dataset(workspace), store.load_items(workspace)
    assert items.shape == (0, 10)
    assert items.item_table.equals(whole.item_table)
    assert items.image_path(0) == whole.image_path(0)
    assert [side_hash(items, side) for side in MODALITIES] == [
        side_hash(whole, side) for side in MODALITIES
    ]
    workspace.interactions_path.unlink()
    assert store.load_items(workspace).item_title(3) == "thing 3"


def test_a_split_is_drawn_once(data: Dataset, workspace: Workspace) -> None:
    save_dataset(workspace, data, source="here")
    config = SplitConfig(seed=3)
    first = load_dataset(workspace, config)
    assert first.parts is not None
    assert first.split_config == config
    assert (first.parts == data.split(config).parts).all()  # type: ignore[union-attr]
    settings = read_toml(workspace.splits_dir / "random-3.toml")
    assert settings["content_hash"] == data.content_hash
    # Change the kept file: it, not the seed, decides from now on.
    kept = workspace.splits_dir / "random-3.parquet"
    labels = pl.read_parquet(kept)["part"].reverse()
    pl.DataFrame({"part": labels}).write_parquet(kept)
    again = load_dataset(workspace, config)
    assert again.parts is not None
    assert (again.parts == first.parts[::-1]).all()


def test_a_split_of_other_settings_is_drawn_anew(data: Dataset, workspace: Workspace) -> None:
    save_dataset(workspace, data, source="here")
    narrow = SplitConfig(kind="cold-items", test_share=0.1)
    wide = SplitConfig(kind="cold-items", test_share=0.3)
    for config in (narrow, wide, narrow):
        parts = load_dataset(workspace, config).parts
        assert parts is not None
        assert (parts == data.split(config).parts).all()  # type: ignore[union-attr]


def test_damage_is_named(data: Dataset, workspace: Workspace) -> None:
    save_dataset(workspace, data, source="here")
    load_dataset(workspace, SplitConfig())
    pl.DataFrame({"part": ["train"]}).write_parquet(workspace.splits_dir / "random-0.parquet")
    with pytest.raises(NegGenError, match=r"random-0.parquet has 1 rows for 60"):
        load_dataset(workspace, SplitConfig())
    (workspace.features_dir / "audio.safetensors").write_bytes(b"rubbish")
    with pytest.raises(NegGenError, match=r"audio.safetensors is damaged"):
        load_dataset(workspace)
    table = pl.read_parquet(workspace.interactions_path).with_columns(item_id=pl.lit("stranger"))
    table.write_parquet(workspace.interactions_path)
    with pytest.raises(NegGenError, match=r"interactions.parquet has item_id 'stranger'"):
        load_dataset(workspace)
    workspace.users_path.write_bytes(b"rubbish")
    with pytest.raises(NegGenError, match=r"users.parquet is not a Parquet file"):
        load_dataset(workspace)
    workspace.items_path.unlink()
    with pytest.raises(NegGenError, match=r"items.parquet is missing"):
        load_dataset(workspace)


def test_names_stay_inside_the_workspace(data: Dataset, workspace: Workspace) -> None:
    pairs = data.test_sets["shifted"]
    with pytest.raises(NegGenError, match=r"'\.\./up' cannot be a file name"):
        save_dataset(workspace, data.replace(test_sets={"../up": pairs}), source="here")


def test_overwriting_mends_a_damaged_workspace(data: Dataset, workspace: Workspace) -> None:
    save_dataset(workspace, data, source="here")
    workspace.items_path.write_bytes(b"PAR1 no longer")
    assert not save_dataset(workspace, data, source="here"), "the manifest says it is there"
    assert save_dataset(workspace, data, source="here", overwrite=True)
    assert load_dataset(workspace).content_hash == data.content_hash
