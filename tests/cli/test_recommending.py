"""``neggen recommend`` and ``neggen similar``: what is asked for, in every way of asking."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from neggen.config import SplitConfig
from neggen.data import store
from neggen.runs import Run, train_run
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli


@pytest.fixture(scope="module")
def run(encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Linear NegGen on a copy of the small shop, encoded as users would."""
    place = tmp_path_factory.mktemp("recommending") / "w"
    workspace = Workspace.open(shutil.copytree(encoded, place))
    return train_run(workspace, "neggen-linear", {}, SplitConfig.build({}))


def test_users_and_files_of_users(cli: Cli, run: Run, tmp_path: Path) -> None:
    found = cli("recommend", run.folder, "-u", "u00001", "-u", "u00003", "-k", 4, "--json").json()
    expected = run.load_model().recommend(["u00001", "u00003"], 4)
    assert found == expected.to_dicts()
    (lines := tmp_path / "users.txt").write_text("u00001\n\n  u00003 \n", encoding="utf-8")
    assert cli("recommend", run.folder, "--users-file", lines, "-k", 4, "--json").json() == found
    (table := tmp_path / "users.csv").write_text("user_id,x\nu00003,1\n", encoding="utf-8")
    ended = cli("recommend", run.folder, "-u", "u00001", "--users-file", table, "-k", 4, "--json")
    assert ended.json() == found


def test_ids_may_be_marked_as_utf_8(cli: Cli, run: Run, tmp_path: Path) -> None:
    (lines := tmp_path / "users.txt").write_text("u00001\n", encoding="utf-8-sig")
    found = cli("recommend", run.folder, "--users-file", lines, "-k", 4, "--json").json()
    assert found == run.load_model().recommend(["u00001"], 4).to_dicts()


def test_titles_take_the_items_alone(cli: Cli, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the interactions are not needed")

    monkeypatch.setattr(store, "load_dataset", refuse)
    item = run.load_model().item_ids[0]
    for command in (("recommend", run.folder, "-u", "u00001"), ("similar", run.folder, "-i", item)):
        ended = cli(*command, "-k", 3)
        assert ended.code == 0, ended.err
        assert "title" in ended.out


def test_histories(cli: Cli, run: Run, tmp_path: Path) -> None:
    model = run.load_model()
    first, second = model.item_ids[:3].to_list(), model.item_ids[5:7].to_list()
    asked = ["--history", ",".join(first), "--history", ", ".join(second)]
    found = cli("recommend", run.folder, *asked, "-k", 3, "--json").json()
    expected = model.recommend({"history 1": first, "history 2": second}, 3)
    assert found == expected.to_dicts()
    log = pl.DataFrame({"user_id": [*"aaabb"], "item_id": [*first, *second]})
    log.write_csv(tmp_path / "log.csv")
    again = cli(
        "recommend", run.folder, "--history-file", tmp_path / "log.csv", "-k", 3, "--json"
    ).json()
    assert [row["user_id"] for row in again] == [*"aaabbb"]
    assert [row["item_id"] for row in again] == [row["item_id"] for row in found]


def test_what_may_be_listed(cli: Cli, run: Run, tmp_path: Path) -> None:
    whole = run.load_model().recommend(["u00001"], 100)["item_id"].to_list()
    (allowed := tmp_path / "allowed.txt").write_text("\n".join(whole[:8]), encoding="utf-8")
    (out := tmp_path / "out.txt").write_text(whole[0], encoding="utf-8")
    asked = ["-u", "u00001", "--candidates", allowed, "--exclude", out]
    found = cli("recommend", run.folder, *asked, "--exclude-item", whole[2], "--json").json()
    assert [row["item_id"] for row in found] == [whole[1], *whole[3:8]]
    wide = cli("recommend", run.folder, *asked, "--diversity", 1, "--json").json()
    assert wide[0]["item_id"] == whole[1]
    assert {row["item_id"] for row in wide} == set(whole[1:8])
    assert [row["item_id"] for row in wide] != whole[1:8]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_lists_are_written_to_files(cli: Cli, run: Run, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"lists.{suffix}"
    ended = cli("recommend", run.folder, "-u", "u00001", "-k", 3, "--explain", "-o", path)
    assert ended.code == 0
    assert ended.out == ""
    assert f"{path} holds 3 rows." in ended.err
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "jsonl": pl.read_ndjson}[suffix]
    found = read(path)
    assert found.columns == ["user_id", "rank", "item_id", "score", "because"]
    expected = run.load_model().recommend(["u00001"], 3)
    assert found["item_id"].to_list() == expected["item_id"].to_list()
    kind = pl.String if suffix == "csv" else pl.List(pl.String)
    assert found["because"].dtype == kind
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_reasons_are_the_strongest_key_attributes(cli: Cli, run: Run) -> None:
    history = ",".join(run.load_model().item_ids[:4])
    asked = ("recommend", run.folder, "--history", history, "-k", 5, "--explain")
    found = cli(*asked, "--json").json()
    reasons = [reason for row in found for reason in row["because"]]
    assert reasons
    shown = cli(*asked).out
    assert "because of" in shown
    assert reasons[0].split()[0] in shown


def test_similar_items(cli: Cli, run: Run, tmp_path: Path) -> None:
    item = run.load_model().item_ids[4]
    found = cli("similar", run.folder, "-i", item, "-k", 3, "--json").json()
    assert found == run.load_model().similar_items([item], 3).to_dicts()
    shown = cli("similar", run.folder, "--item", item, "-k", 3).out
    assert all(row["similar_item_id"] in shown for row in found)
    assert f"{found[0]['score']:.3f}" in shown
    asked = ["-i", item, "--exclude-item", found[0]["similar_item_id"], "-k", 2]
    path = tmp_path / "like.csv"
    assert cli("similar", run.folder, *asked, "--output", path).code == 0
    expected = [row["similar_item_id"] for row in found[1:]]
    assert pl.read_csv(path)["similar_item_id"].to_list() == expected


MISTAKES = {
    "nobody": ([], "Nobody to recommend to"),
    "both": (["-u", "u00001", "--history", "i1"], "one at a time"),
    "history": (["--history", "i0000"], "no item 'i0000'. Did you mean 'p"),
    "no-file": (["--users-file", "none.txt"], "none.txt cannot be read as a list of ids"),
    "no-table": (["--history-file", "none.csv"], "There is no file none.csv"),
    "columns": (
        ["--history-file", "{bad}"],
        "bad.csv has no column 'user_id', only ident, item; rename one.",
    ),
    "ids": (["-u", "u00001", "--exclude", "{bad}"], "bad.csv has no column 'item_id', only ident"),
    "suffix": (["-u", "u00001", "-o", "lists.xlsx"], "lists.xlsx has the suffix '.xlsx'"),
    "diversity": (["-u", "u00001", "--diversity", "2"], "diversity"),
    "excluded": (["-u", "u00001", "--exclude-item", "x"], "no item 'x'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_end_in_a_sentence(cli: Cli, run: Run, tmp_path: Path, mistake: str) -> None:
    arguments, sentence = MISTAKES[mistake]
    (bad := tmp_path / "bad.csv").write_text("ident,item\nann,p1\n", encoding="utf-8")
    ended = cli("recommend", run.folder, *(word.format(bad=bad) for word in arguments))
    assert ended.code == 2
    assert sentence in ended.remark()
    assert ended.out == ""


def test_what_a_model_cannot_do(cli: Cli, run: Run) -> None:
    trained = cli("train", run.workspace.path, "--model", "popularity", "--json").json()["run"]
    ended = cli("similar", trained, "-i", run.load_model().item_ids[0])
    assert ended.code == 2
    assert "A popularity model has no vectors of items" in ended.remark()
    ended = cli("recommend", trained, "-u", "u00001", "--explain")
    assert ended.code == 2
    assert "does not score by descriptions" in ended.remark()
