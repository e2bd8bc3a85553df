"""``neggen studio``: what is done before the page opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from neggen.cli import studio
from neggen.studio import app
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli


@pytest.fixture(autouse=True)
def _not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "serve_studio", lambda *arguments, **options: None)


def test_measuring_can_be_left_out(cli: Cli, ready: Workspace) -> None:
    assert cli("studio", ready.path, "--no-measure").code == 0
    assert not ready.quality_dir.exists()


def test_many_items_are_measured_only_when_asked(
    cli: Cli, ready: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = ready.manifest()["counts"]["items"]
    monkeypatch.setattr(studio, "MOST_MEASURED", items - 1)
    ended = cli("studio", ready.path)
    assert ended.code == 0, ended.err
    assert f"those of {items} items takes long" in ended.remark()
    assert "neggen quality" in ended.remark()
    assert not ready.quality_dir.exists()
    monkeypatch.setattr(studio, "MOST_MEASURED", items)
    assert "takes long" not in cli("studio", ready.path).remark()
    assert (ready.quality_dir / "items.parquet").is_file()
