"""The table of models tells the truth, in figures and in words."""

from __future__ import annotations

import shutil

import polars as pl
import pytest

from neggen.config import SplitConfig
from neggen.errors import NegGenError
from neggen.runs import Run
from neggen.studio.groups import group_runs
from neggen.studio.scores import METRICS, score_tables

COLUMN = {metric: position for position, metric in enumerate(METRICS)}


def figures(recall: float) -> dict[str, dict[str, float]]:
    return {"test": {"recall@20": recall, "ndcg@20": recall / 2}}


def table_of(*runs):
    (table,) = score_tables(group_runs(runs))
    return table


def test_changes_are_relative_to_lightgcn_and_the_best_is_marked(written_run):
    table = table_of(
        written_run("popularity", figures(0.05)),
        written_run("lightgcn", figures(0.10)),
        written_run("ease", figures(0.12)),
    )
    cells = {row.title: row.cells[0] for row in table.rows}
    assert cells["Popularity"].change == pytest.approx(-0.5)
    assert cells["EASE"].change == pytest.approx(0.2)
    assert cells["LightGCN"].change is None
    assert [title for title, cell in cells.items() if cell.best] == ["EASE"]
    assert cells["Popularity"].share == pytest.approx(5 / 12)
    assert table.rows[0].cells[COLUMN["map@20"]] is None
    assert table.verdict == (
        "EASE is best with a Recall@20 of 0.1200, 20.0% above LightGCN (0.1000)."
    )


def test_shares_of_a_split_make_tables_of_their_own(written_run):
    runs = [
        written_run(
            model, figures(0.1), split=SplitConfig(kind="time", test_share=share).model_dump()
        )
        for model, share in (("lightgcn", 0.1), ("ease", 0.3))
    ]
    titles = [table.splits for table in score_tables(group_runs(runs))]
    assert titles == [("time",), ("time, test_share 0.3",)]


def test_other_descriptions_pictures_or_rules_are_other_rows(written_run):
    usual = {"vectors_hash": "v", "pictures_hash": "p", "rules": 2}
    runs = [written_run("content-ease", figures(0.1), **usual)]
    for seed, key in enumerate(usual, start=1):
        changed = {**usual, key: "other"}
        runs.append(written_run("content-ease", figures(0.1), seed=seed, **changed))
    table = table_of(*runs)
    assert [row.names for row in table.rows] == [(run.folder.name,) for run in runs]


def test_the_same_seeds_again_are_another_row(written_run):
    first, second = written_run("ease", figures(0.1)), written_run("ease", figures(0.2), seed=1)
    again = shutil.copytree(first.folder, first.folder.with_name("again"))
    table = table_of(first, Run(again), second)
    assert [row.names for row in table.rows] == [("ease-0-0", "ease-0-1"), ("again",)]
    assert [row.title for row in table.rows] == ["EASE (ease-0-0)", "EASE (again)"]


def test_seeds_make_one_row_with_mean_and_sample_deviation(written_run):
    table = table_of(
        written_run("lightgcn", figures(0.10), seed=0, split_seed=0),
        written_run("lightgcn", figures(0.14), seed=1, split_seed=0),
    )
    (row,) = table.rows
    assert len(row.names) == 2
    assert row.cells[0].mean == pytest.approx(0.12)
    assert row.cells[0].spread == pytest.approx(0.0282843, abs=1e-6)
    assert not row.cells[0].best


def test_other_settings_make_another_row(written_run):
    table = table_of(
        written_run("lightgcn", figures(0.1)),
        written_run("lightgcn", figures(0.2), seed=1, settings={"seed": 1, "layers": 2}),
    )
    assert [row.title for row in table.rows] == [
        "LightGCN (lightgcn-0-0)", "LightGCN (lightgcn-0-1)"
    ]  # fmt: skip


def test_different_splits_are_never_side_by_side(written_run):
    tables = score_tables(
        group_runs(
            [
                written_run("ease", figures(0.1), split_seed=0),
                written_run("lightgcn", figures(0.2), split_seed=1),
            ]
        )
    )
    assert [table.splits for table in tables] == [("random, seed 0",), ("random, seed 1",)]


def test_parts_come_in_order(written_run):
    metrics = {part: figures(0.1)["test"] for part in ("valid", "shifted", "test")}
    tables = score_tables(group_runs([written_run("ease", metrics)]))
    assert [table.part for table in tables] == ["test", "shifted", "valid"]


def test_it_says_where_neggen_stands_when_it_loses(written_run):
    table = table_of(
        written_run("neggen", figures(0.08)),
        written_run("lightgcn", figures(0.10)),
        written_run("ease", figures(0.12)),
    )
    assert table.verdict.endswith("; NegGen is number 3 of 3 (0.0800).")


def test_a_tie_is_called_a_tie(written_run):
    table = table_of(written_run("ease", figures(0.1)), written_run("lightgcn", figures(0.1)))
    assert table.verdict == "EASE and LightGCN tie at a Recall@20 of 0.1000."
    assert all(row.cells[0].best for row in table.rows)


@pytest.mark.parametrize(
    ("better", "words"),
    [([0.2] * 18 + [0.1] * 2, "more than chance would do"), ([0.1, 0.22] * 10, "may be chance")],
)
def test_the_lead_is_tested_user_by_user(written_run, better, words):
    names = [f"u{index}" for index in range(20)]
    runs = []
    for model, values in (("ease", better), ("lightgcn", [0.15] * 20)):
        run = written_run(model, figures(sum(values) / 20))
        frame = pl.DataFrame({"user_id": names, "recall@20": values})
        (run.folder / "per_user").mkdir()
        # The order of the users must not matter.
        frame.sample(fraction=1, shuffle=True, seed=len(model)).write_parquet(
            run.folder / "per_user" / "test.parquet"
        )
        runs.append(run)
    assert words in table_of(*runs).verdict
    (runs[0].folder / "per_user" / "test.parquet").write_text("nonsense")
    with pytest.raises(NegGenError, match=r"test\.parquet cannot be read .* evaluate"):
        table_of(*runs)
