"""The workspace folder and its atomic files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from neggen.errors import NegGenError, nearest
from neggen.workspace import UNFINISHED, Workspace, atomic_path, read_toml, write_text, write_toml


def test_opens_what_it_wrote(tmp_path: Path) -> None:
    Workspace(tmp_path / "shop").write_manifest(source="here", items=3, license=None)
    workspace = Workspace.open(str(tmp_path / "shop"))
    assert workspace.manifest() == {"format": 1, "source": "here", "items": 3}


def test_refuses_a_folder_that_is_no_workspace(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NegGenError, match=r"is not a workspace .* neggen import SOURCE"):
            Workspace.open(folder)


def test_an_import_that_was_interrupted_is_named(tmp_path: Path) -> None:
    (tmp_path / UNFINISHED).write_text("somewhere")
    with pytest.raises(NegGenError, match=r"was interrupted, or is on its way"):
        Workspace.open(tmp_path)


def test_refuses_a_newer_format(tmp_path: Path) -> None:
    write_toml(tmp_path / "workspace.toml", {"format": 2})
    with pytest.raises(NegGenError, match=r"has format 2, this version reads 1"):
        Workspace.open(tmp_path)
    (tmp_path / "workspace.toml").write_text("format = = 1")
    with pytest.raises(NegGenError, match="not valid TOML"):
        Workspace.open(tmp_path)


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_no_litter(
    failure: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the new")
            raise failure

    with pytest.raises(failure):
        write()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_the_old_file_stays_readable_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent  # the same file system, so replacing is atomic
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_says_who_may_read(umask: int, mode: int, tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    before = os.umask(umask)
    try:
        with atomic_path(path) as temporary:
            temporary.unlink()  # as a writer does that makes a file of its own
            temporary.touch(mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_toml_keeps_types_and_leaves_none_out(tmp_path: Path) -> None:
    value = {"text": "ü\n\"'", "n": 3, "x": 1e-10, "list": [1, 2], "table": {"yes": True}}
    write_toml(tmp_path / "x.toml", {**value, "none": None, "inner": {"none": None}})
    assert read_toml(tmp_path / "x.toml") == {**value, "inner": {}}
    (tmp_path / "x.toml").write_text("n = 3", encoding="utf-8-sig")
    assert read_toml(tmp_path / "x.toml") == {"n": 3}


def test_nearest_name() -> None:
    assert nearest("Itemid", ["title", "item_id"]) == " Did you mean 'item_id'?"
    assert nearest("xyz", ["title", "item_id"]) == ""
    assert nearest("a", []) == ""
