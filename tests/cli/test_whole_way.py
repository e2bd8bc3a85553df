"""From two CSV files and a folder of pictures to recommendations and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

if TYPE_CHECKING:
    from conftest import Cli

FEW = ["--set", "epochs=30", "--set", "dim=16", "--set", "evaluate_every=5"]
FEW_OF_BASE = ["--set", "base.epochs=30", "--set", "base.dim=16", "--set", "base.evaluate_every=5"]
SETTINGS = {
    "popularity": [],
    "ease": ["--set", "regularization=20"],
    "lightgcn": FEW,
    "neggen": [*FEW, *FEW_OF_BASE, "--set", "heads=2"],
}


def test_the_whole_way(cli: Cli, source: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    imported = cli("import", source, place, "--json").json()
    assert {name: imported[name] for name in ("users", "items", "pictures")} == {
        "users": 60,
        "items": 60,
        "pictures": 58,
    }
    again = cli("import", source, place, "--json")
    assert again.json() == imported
    assert "holds these very data already" in again.err

    generated = cli("generate", place, "--json").json()
    assert generated["generator"] == "catalogue (no language model)"
    sides = generated["modalities"]
    assert (sides["image"]["items"], sides["text"]["items"]) == (58, 60)
    written = sum(side["valid"] for side in sides.values())
    assert written > 100, "the generator should know almost every item"
    twice = cli("generate", place, "--json").json()["modalities"]
    assert all(side["asked"] == 0 and side["reused"] == side["items"] for side in twice.values())

    encoded = cli("encode", place, "--json").json()
    assert encoded["dim"] == 384
    assert encoded["encoded"] == encoded["texts"] > written
    assert cli("encode", place, "--json").json()["encoded"] == 0

    trained = {
        model: cli("train", place, "--model", model, *settings, "--json").json()
        for model, settings in SETTINGS.items()
    }
    assert trained["popularity"]["valid"] == {}
    assert trained["neggen"]["valid"]["ndcg@20"] >= trained["lightgcn"]["valid"]["ndcg@20"]
    runs = {model: Path(entry["run"]) for model, entry in trained.items()}
    assert len(list((place / "runs").iterdir())) == 4, "NegGen should start from the LightGCN run"

    recall = {}
    for model, run in runs.items():
        evaluated = cli("evaluate", run, "--json", "--on", "valid", "--on", "test").json()
        assert evaluated["run"] == str(run)
        metrics = evaluated["metrics"]
        assert list(metrics) == ["valid", "test"]
        usual = ("recall@20", "ndcg@20", "tail/ndcg@20", "coverage@20", "gini@20")
        assert all(0 <= part[name] <= 1 for part in metrics.values() for name in usual)
        for metric, value in trained[model]["valid"].items():
            assert metrics["valid"][metric] == pytest.approx(value, abs=1e-6)
        recall[model] = metrics["test"]["recall@20"]
        assert pl.read_parquet(run / "per_user" / "test.parquet").height > 30
    assert recall["neggen"] > 20 / 60, "worse than chance"
    assert "recall@20" in cli("evaluate", runs["ease"]).out

    log = pl.read_csv(source / "interactions.csv")
    seen = set(log.filter(pl.col("user_id") == "u00001")["item_id"])
    rows = cli(
        "recommend", runs["neggen"], "-u", "u00001", "-u", "u00002", "-k", 5, "--json"
    ).json()
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5] * 2
    assert not seen & {row["item_id"] for row in rows if row["user_id"] == "u00001"}
    everything = cli(
        "recommend", runs["neggen"], "-u", "u00001", "-k", 60, "--include-seen", "--json"
    ).json()
    assert len({row["item_id"] for row in everything}) == 60
    table = cli("recommend", runs["popularity"], "-u", "u00001", "-k", 3).out
    assert table.count("u00001") == 3

    assert cli("report", place, "--output", tmp_path / "r.html").code == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert all(title in page for title in ("LightGCN", "NegGen", "EASE"))

    findings = cli("doctor", place, "--json").json()
    assert all(finding["ok"] for finding in findings.values())
    assert "60 users, 60 items" in findings["workspace"]["finding"]
    assert all(run.name in findings["runs"]["finding"] for run in runs.values())


def test_doctor_names_what_is_wrong(cli: Cli, tmp_path: Path) -> None:
    ended = cli("doctor", tmp_path / "nothing", "--base-url", "http://127.0.0.1:9/v1")
    assert ended.code == 1
    failing = [line.split("│")[1].strip() for line in ended.out.splitlines() if "FAILS" in line]
    assert failing == ["workspace", "endpoint"]  # what lies in a workspace is not asked without one


def test_doctor_asks_an_endpoint_for_its_models(cli: Cli, server) -> None:
    finding = cli("doctor", "--base-url", server.url, "--json").json()["endpoint"]
    assert finding["ok"]
    assert finding["finding"].startswith("tiny (")
