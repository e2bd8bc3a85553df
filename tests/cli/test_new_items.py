"""New items on the command line: imported without interactions, described, encoded, recommended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli

NEW = {
    "n1": ("Red mug with dots", "A [red] mug with [dots].", ["blue", "stripes"]),
    "n2": ("Blue lamp of glass", "A [blue] lamp of [glass].", ["red", "wood"]),
    "n3": ("Green bag of leather", "A [green] bag of [leather].", ["white", "paper"]),
}


@pytest.fixture
def later(cli: Cli, tmp_path: Path) -> Path:
    """A workspace of three new items with recorded answers, not encoded."""
    source, place = tmp_path / "source", tmp_path / "later"
    source.mkdir()
    titles = {"item_id": list(NEW), "title": [title for title, _, _ in NEW.values()]}
    pl.DataFrame(titles).write_csv(source / "items.csv")
    counts = cli("import", source, place, "--json").json()
    assert (counts["users"], counts["items"], counts["interactions"]) == (0, 3, 0)
    lines = [
        {"item_id": item, "modality": "text", "marked": marked, "replacements": others}
        for item, (_, marked, others) in NEW.items()
    ]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert cli("generate", place, "--answers", answers).code == 0
    return place


def test_from_a_table_of_items_to_recommendations(cli: Cli, ready: Workspace, later: Path) -> None:
    trained = cli("train", ready.path, "--model", "neggen-linear", "--json").json()
    command = ("recommend", trained["run"], "--user", "u00001", "--new-items", later)
    ended = cli(*command)
    assert ended.code == 2
    assert f"{later} has no vectors yet" in ended.remark()
    assert cli("encode", later).code == 0
    ended = cli(*command)
    assert ended.code == 2
    assert "encoded by another text encoder" in ended.remark()

    assert cli("encode", ready.path).code == 0
    again = cli("train", ready.path, "--model", "neggen-linear", "--name", "again", "--json").json()
    command = ("recommend", again["run"], "--user", "u00001", "--new-items", later)
    found = cli(*command, "-k", 2, "--json").json()
    assert [row["rank"] for row in found] == [1, 2]
    assert {row["user_id"] for row in found} == {"u00001"}
    assert found[0]["score"] > found[1]["score"]
    assert {row["item_id"] for row in found} < set(NEW)
    shown = cli(*command, "-k", 1)
    assert NEW[found[0]["item_id"]][0] in shown.out


def test_own_texts_alone_do_for_a_model_that_learned_from_such(
    cli: Cli, encoded: Path, tmp_path: Path
) -> None:
    place = shutil.copytree(encoded, tmp_path / "w")
    source, later = tmp_path / "source", tmp_path / "later"
    source.mkdir()
    titles = {"item_id": list(NEW), "title": [title for title, _, _ in NEW.values()]}
    pl.DataFrame(titles).write_csv(source / "items.csv")
    assert cli("import", source, later).code == 0
    train = ("train", place, "--model", "neggen-linear", "--json")
    run = cli(*train).json()["run"]
    command = ("--user", "u00001", "--new-items", later)
    found = cli("recommend", run, *command, "--json").json()
    assert {row["item_id"] for row in found} == set(NEW)
    assert len({row["score"] for row in found}) == len(NEW)

    blind = cli(*train, "--set", "use_text=false", "--name", "blind").json()["run"]
    ended = cli("recommend", blind, *command)
    assert ended.code == 2
    assert "needs the records of new items" in ended.remark()


def test_what_cannot_be_done_with_new_items(cli: Cli, ready: Workspace, later: Path) -> None:
    ended = cli("generate", later)
    assert ended.code == 2
    assert "Nobody has used these items" in ended.remark()
    ended = cli("train", later, "--model", "popularity")
    assert ended.code == 2
    assert "Nobody has used these items" in ended.remark()
    trained = cli("train", ready.path, "--model", "popularity", "--json").json()
    ended = cli("recommend", trained["run"], "--user", "u00001", "--new-items", later)
    assert ended.code == 2
    assert "A popularity model cannot rank items that came after training" in ended.remark()
