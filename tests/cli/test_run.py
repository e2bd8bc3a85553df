"""From a folder of raw data and a recipe to the table, by one command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from neggen.comparison.source import Source
from neggen.comparison.study import Study
from neggen.data.shop import make_shop
from neggen.data.store import load_dataset
from neggen.generation.record_files import read_records
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli

RECIPE = """
title = "A shop, from its files"
seeds = 1
budget = 2

[data]
source = "shops/small"
at_most = 9
answers = "answers.jsonl"

[rows.ease]
model = "ease"
[rows.linear]
model = "neggen-linear"
search = {contrast = [0, 1]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets with one in it: two tables, and answers that were recorded."""
    folder = tmp_path_factory.mktemp("data")
    shop = make_shop(items=60, users=60)
    source = folder / "shops" / "small"
    source.mkdir(parents=True)
    items = shop.items.drop("image")
    items.write_csv(source / "items.csv")
    shop.interactions.write_csv(source / "interactions.csv")
    answers = [
        {
            "item_id": item,
            "modality": "text",
            "marked": f"Something [of kind {number}] that people use.",
            "replacements": [f"unlike number {number}"],
        }
        for number, item in enumerate(items["item_id"])
    ]
    lines = "\n".join(json.dumps(answer) for answer in answers)
    (source / "answers.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_from_files_to_the_table_and_again(
    cli: Cli, folder: Path, recipe: Path, tmp_path: Path
) -> None:
    typed = ["run", recipe, "--data", folder, "--into", tmp_path / "into"]
    told = cli(*typed)
    assert told.code == 0, told.err
    assert "A shop, from its files" in told.out
    place = Workspace.open(tmp_path / "into" / "small-at-most-9")
    data = load_dataset(place)
    assert int(pl.Series(data.users).value_counts()["count"].max()) == 9  # type: ignore[arg-type]
    records = read_records(place.records_path)
    assert set(records["generator"]) == {"recorded: answers.jsonl"}
    results = json.loads((place.path / "studies" / "shop" / "results.json").read_text())
    assert set(results["rows"]) == {"ease", "linear"}

    before = {
        path: path.stat().st_mtime_ns
        for path in place.path.rglob("*")
        if path.is_file()
        and path.suffix in {".parquet", ".safetensors"}
        and "shop" not in path.parts
    }
    again = cli(*typed)
    assert again.code == 0, again.err
    assert "Generating" not in again.err
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is done twice"
    assert json.loads((place.path / "studies" / "shop" / "results.json").read_text()) == results
    compared = cli("compare", place.path, recipe, "--json").json()
    assert compared == results, "compare takes the same file and passes over its [data]"


def test_what_no_row_needs_is_not_generated(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plain.toml"
    path.write_text("seeds = 1\n[data]\nsource = 'shops/small'\n[rows.ease]\nmodel = 'ease'\n")
    monkeypatch.setenv("NEGGEN_DATA", str(folder))
    told = cli("run", path, "--into", tmp_path / "into")
    assert told.code == 0, told.err
    place = Workspace.open(tmp_path / "into" / "small")
    assert (place.path / "studies" / "plain" / "results.html").is_file()
    assert not place.records_path.exists()

    path.write_text(path.read_text() + "[rows.linear]\nmodel = 'neggen-linear'\n")
    told = cli("run", path, "--into", tmp_path / "into")
    assert told.code == 2
    assert "linear need descriptions, and [data] names no recorded answers" in told.remark()
    assert cli("generate", place.path).code == 0
    told = cli("run", path, "--into", tmp_path / "into")
    assert told.code == 0, "those of another generator will do where no answers are named"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[rows.ease]\nmodel = 'ease'", "has no [data] table that names its source"),
        (RECIPE.replace("shops/small", "shops/large"), "shops/large does not exist; --data"),
        (RECIPE.replace("shops/small", "../small"), "In data: Source.source = '../small' is not"),
        (RECIPE.replace("at_most", "at_mots"), "'at_mots' is not a setting of Source. Did you"),
        (RECIPE.replace('"answers.jsonl"', '"others.jsonl"'), "others.jsonl"),
    ],
)
def test_mistakes_are_one_sentence(
    cli: Cli, folder: Path, tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    told = cli("run", path, "--data", folder, "--into", tmp_path / "into")
    assert told.code == 2
    assert sentence in told.remark()


def test_without_a_folder_of_data(cli: Cli, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEGGEN_DATA", raising=False)
    told = cli("run", recipe)
    assert told.code == 2
    assert "is about 'shops/small'; say where that is with --data DIR" in told.remark()


def test_a_workspace_is_not_mistaken_for_another(cli: Cli, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "plain.toml"
    path.write_text("seeds = 1\n[data]\nsource = 'shops/small'\n[rows.ease]\nmodel = 'ease'\n")
    other = tmp_path / "other" / "shops" / "small"
    other.mkdir(parents=True)
    make_shop(items=60, users=30).interactions.write_csv(other / "interactions.csv")
    assert cli("run", path, "--data", folder, "--into", tmp_path / "into").code == 0
    told = cli("run", path, "--data", tmp_path / "other", "--into", tmp_path / "into")
    assert told.code == 2
    assert "already holds other data" in told.remark()


@pytest.mark.parametrize("known", ["amazon-office", "movielens-1m"])
def test_recipes_of_known_data_name_them(known: str) -> None:
    recipes = Path(__file__).parents[2] / "recipes"
    paths = list(recipes.glob(f"{known.split('-')[known.startswith('amazon')]}-*.toml"))
    assert len(paths) >= 3
    for path in paths:
        at_most = 12 if path.stem.endswith("-sparse") else None
        expected = Source(source=known, answers="answers.jsonl", at_most=at_most)
        assert Study.read(path).data == expected
