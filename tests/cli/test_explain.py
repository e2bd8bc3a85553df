"""``neggen explain``: the same figures as in Python, as JSON and as a table."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from neggen.cli.explain import _signed
from neggen.config import SplitConfig
from neggen.encoding.text import TextEncoder
from neggen.generation.record_files import read_records
from neggen.models.explain import explain
from neggen.runs import Run, train_run, with_vectors
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli

FEW = {"epochs": 2, "dim": 16, "heads": 2, "base": {"epochs": 2, "dim": 16}}
USER = "u00001"


@pytest.fixture(scope="module")
def run(encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """NegGen on a small shop's texts, encoded as users would; EASE beside it."""
    place = Workspace(shutil.copytree(encoded, tmp_path_factory.mktemp("explain") / "w"))
    train_run(place, "ease", {}, SplitConfig.build({}))
    settings = {**FEW, "effect_weights": (1.0,)}
    return train_run(place, "neggen", settings, SplitConfig.build({}), name="why")


def test_json_is_what_python_says(cli: Cli, run: Run) -> None:
    rows = cli("explain", run.folder, "-u", USER, "-k", 2, "--json").json()
    model, data = run.load_model(), with_vectors(run.workspace, run.load_data())
    best = model.recommend([USER], 2)
    expected = explain(model, data, best["user_id"], best["item_id"], TextEncoder())
    assert list(rows[0]) == expected.columns
    keys = ["user_id", "item_id", "modality", "slot", "value", "replacement"]
    assert pl.DataFrame(rows)[keys].equals(expected[keys])
    for column in ("contribution", "score", "causal"):
        found = [row[column] for row in rows]
        assert found == pytest.approx(expected[column].to_list(), abs=1e-5)
    assert max(abs(row["contribution"]) for row in rows) > 1e-3

    chosen = best["item_id"][1]
    again = cli("explain", run.folder, "-u", USER, "-i", chosen, "-i", chosen, "--json").json()
    kept = [row for row in rows if row["item_id"] == chosen]
    assert [row["value"] for row in again] == [row["value"] for row in kept]
    assert again[0]["contribution"] == pytest.approx(kept[0]["contribution"], abs=1e-5)


def test_the_table_names_attributes_with_their_bars(cli: Cli, run: Run) -> None:
    rows = cli("explain", run.folder, "-u", USER, "-k", 1, "--json").json()
    shown = cli("explain", run.folder, "-u", USER, "-k", 1).out
    for row in rows:
        contribution = f"{row['contribution']:+.4f}".replace("-0.0000", "0.0000")
        line = next(line for line in shown.splitlines() if contribution in line)
        length = round(10 * abs(row["share"]))
        assert line.count("█" if row["share"] > 0 else "░") == length
        assert row["value"].split()[0] in line
    assert rows[0]["item_id"] in shown


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [(-0.00004, ".4f", "0.0000"), (0.00004, ".4f", "0.0000"), (-0.00006, ".4f", "-0.0001"),
     (0.12, ".4f", "+0.1200"), (-0.004, ".0%", "0%"), (0.0, ".0%", "0%"), (0.1, ".0%", "+10%")],
)  # fmt: skip
def test_what_is_written_as_zero_has_no_sign(value: float, form: str, shown: str) -> None:
    assert _signed(value, form) == shown


def test_mistakes_are_one_sentence(cli: Cli, run: Run, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        ended = cli("explain", *arguments)
        assert ended.code == 2
        assert ended.out == ""
        return ended.remark()

    ease = run.workspace.runs_dir / "ease-random-0"
    assert "'ease' does not score by descriptions" in refused(ease, "-u", USER)
    assert "'nobody'" in refused(run.folder, "-u", "nobody")
    assert "'nothing'" in refused(run.folder, "-u", USER, "-i", "nothing")

    path = run.workspace.records_path
    kept = path.read_bytes()
    records = read_records(path)
    try:
        records.filter(pl.col("item_id") != records["item_id"][0]).write_parquet(path)
        assert "have changed since" in refused(run.folder, "-u", USER)
        path.unlink()
        assert "neggen generate" in refused(run.folder, "-u", USER)
    finally:
        path.write_bytes(kept)
