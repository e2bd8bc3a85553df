"""``neggen import`` of published layouts: dry runs, ratings, cores, and remarks."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from neggen.data.store import load_dataset
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """Four users rate items 0 to 2 with 3, and item 3 with 1; another user rates item 4 alone."""
    folder = tmp_path / "amazon"
    folder.mkdir()
    rows = [(user, item, 1 if item == 3 else 3) for user in range(4) for item in range(4)]
    log = [
        {"user_id": f"u{user}", "parent_asin": f"i{item}", "rating": rating, "timestamp": item}
        for user, item, rating in [*rows, (9, 4, 3)]
    ]
    meta = [
        {"parent_asin": f"i{item}", "title": f"Thing {item}", "videos": [], "details": {}}
        for item in range(9)
    ]
    for name, lines in (("X", log), ("meta_X", meta)):
        text = "\n".join(map(json.dumps, lines))
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_a_dry_run_tells_what_would_be_and_writes_nothing(
    cli: Cli, reviews: Path, tmp_path: Path
) -> None:
    place = tmp_path / "w"
    told = cli("import", reviews, place, "--dry-run", "--json").json()
    assert told["format"] == "amazon"
    assert (told["users"], told["items"], told["interactions"]) == (5, 5, 17)
    assert told["interaction columns"] == ["user", "item", "time"]
    assert told["item text"] == ["title"]
    assert told["other item columns"] == []
    assert any("details, videos" in note for note in told["notes"])
    shown = cli("import", reviews, place, "--dry-run", "--k-core", 2, "--download-images")
    assert shown.code == 0
    assert "nothing written" in shown.out
    assert "amazon" in shown.out
    assert "details, videos" in shown.remark()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["amazon"]


def test_a_dry_run_counts_what_the_import_then_has(cli: Cli, reviews: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    options = ("--min-rating", 2, "--k-core", 2, "--json")
    dry = cli("import", reviews, place, *options, "--dry-run").json()
    wet = cli("import", reviews, place, *options).json()
    assert {name: dry[name] for name in ("users", "items", "interactions")} == {
        "users": 4,
        "items": 3,
        "interactions": 12,
    }
    assert {name: wet[name] for name in wet if name != "workspace"}.items() <= dry.items()
    data = load_dataset(Workspace.open(place))
    assert data.item_text(0) == "title: Thing 0"
    assert data.item_ids.to_list() == ["i0", "i1", "i2"]


def test_a_dry_run_of_a_damaged_source_fails_as_the_import_does(
    cli: Cli, reviews: Path, tmp_path: Path
) -> None:
    path = reviews / "meta_X.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-9])
    dry = cli("import", reviews, tmp_path / "w", "--dry-run")
    wet = cli("import", reviews, tmp_path / "w")
    assert (dry.code, wet.code) == (2, 2)
    assert dry.remark() == wet.remark()
    assert "damaged after line" in dry.remark()


def test_a_dry_run_of_tables(cli: Cli, source: Path, tmp_path: Path) -> None:
    told = cli("import", source, tmp_path / "w", "--dry-run", "--json").json()
    assert told["format"] == "tables"
    assert (told["items"], told["pictures"]) == (60, len(list((source / "images").iterdir())))
    assert not (tmp_path / "w").exists()
    log = source / "interactions.csv"
    told = cli("import", tmp_path, tmp_path / "w", "--interactions", log, "--dry-run", "--json")
    assert told.json()["format"] == "tables"


def test_all_items_and_options_that_do_not_apply(cli: Cli, reviews: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    told = cli("import", reviews, place, "--dry-run", "--json", "--all-items").json()
    assert told["items"] == 9
    for option, name in (("--image-column", "photo"), ("--images", tmp_path)):
        refused = cli("import", reviews, place, option, name)
        assert refused.code == 2
        assert f"do not apply to: {option}" in refused.remark()
