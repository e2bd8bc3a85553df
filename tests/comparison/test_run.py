"""Studies as a whole: tables that say what was measured, and every ablation for real."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from neggen.comparison import run
from neggen.comparison.fitting import Fit, Task
from neggen.comparison.rows import Row
from neggen.comparison.run import Place, _made, run_study
from neggen.comparison.space import packaged
from neggen.comparison.study import Study
from neggen.comparison.tables import main_table
from neggen.comparison.wording import _of_descriptions
from neggen.config import SplitConfig
from neggen.data.shop import make_shop
from neggen.data.store import load_dataset, save_dataset
from neggen.data.vectors import Features
from neggen.encoding.store import encode
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.evaluation.ranking import evaluate_ranking
from neggen.evaluation.significance import compare, holm
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.record_files import read_records
from neggen.models.ease import EASE
from neggen.testing import checkerboard
from neggen.workspace import Workspace, atomic_path, read_toml

FEW = {"epochs": 2, "dim": 8}
ROWS: dict[str, Any] = {
    "popularity": {"model": "popularity"},
    "ease": {"model": "ease", "settings": {"regularization": 50.0}},
    "weak": {"model": "ease", "settings": {"regularization": 1e-2}},
}


@pytest.fixture(scope="module")
def checkers(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The checkerboard, whose items have a picture and a text, in the vectors of a real encoder."""
    workspace, data = Workspace(tmp_path_factory.mktemp("checkers") / "w"), checkerboard()
    save_dataset(workspace, data, source="the checkerboard")
    assert data.records is not None
    with atomic_path(workspace.records_path) as temporary:
        data.records.write_parquet(temporary)
    encode(workspace, data, data.records, TextEncoder())
    return workspace


def test_the_table_says_what_was_measured(ready: Workspace) -> None:
    study = Study.parse({"seeds": 2, "reference": "ease", "rows": ROWS})
    found = run_study(ready, study, "three")
    users: dict[str, list[np.ndarray]] = {}
    for seed in range(2):
        data = load_dataset(ready, SplitConfig(seed=seed))
        model = EASE(regularization=50.0).fit(data)
        result = evaluate_ranking(model.score_index, data.train, data.test)
        ease = found["rows"]["ease"]
        assert ease["metrics"]["recall@20"][seed] == result.metrics["recall@20"]
        assert ease["metrics"]["coverage@20"][seed] == result.metrics["coverage@20"]
        valid = evaluate_ranking(model.score_index, data.train, data.valid)
        assert ease["valid"][seed] == valid.metrics["ndcg@20"]

    folder = ready.path / "studies" / "three"
    assert json.loads((folder / "results.json").read_text()) == found
    table = pl.read_parquet(folder / "per_user.parquet")
    means = table.group_by("row", "user_id").agg(pl.col("ndcg@20").cast(pl.Float64).mean())
    for row in ROWS:
        users[row] = means.filter(row=row).sort("user_id")["ndcg@20"].to_numpy()
    against = {row: compare(users[row], users["ease"]) for row in ("popularity", "weak")}
    for row, by_hand in against.items():
        told = found["rows"][row]["against"]
        assert told["gain"] == pytest.approx(by_hand.gain)
        assert told["effect_size"] == pytest.approx(by_hand.effect_size)
    for test in ("t_test", "wilcoxon"):
        corrected = holm([getattr(by_hand, test) for by_hand in against.values()])
        for row, p in zip(against, corrected, strict=True):
            assert found["rows"][row]["against"][f"{test}_holm"] == pytest.approx(p)
    assert found["rows"]["ease"]["against"] is None

    by_seed = pl.read_csv(folder / "results.csv")
    assert by_seed.shape[0] == 6
    recall = by_seed.filter(row="weak")["recall@20"].to_list()
    assert recall == pytest.approx(found["rows"]["weak"]["metrics"]["recall@20"])
    written = (folder / "results.md").read_text()
    mean, std = np.mean(recall), np.std(recall, ddof=1)
    assert f"| weak | {mean:.4f} ± {std:.4f} |" in written
    assert (folder / "rows.png").read_bytes().startswith(b"\x89PNG")


def test_a_row_is_tested_against_the_row_it_names(ready: Workspace) -> None:
    weak = {**ROWS["weak"], "against": "popularity"}
    study = Study.parse({"seeds": 2, "reference": "ease", "rows": {**ROWS, "weak": weak}})
    found = run_study(ready, study, "named")
    means = (
        pl.read_parquet(ready.path / "studies" / "named" / "per_user.parquet")
        .group_by("row", "user_id")
        .agg(pl.col("ndcg@20").cast(pl.Float64).mean())
        .sort("user_id")
    )
    users = {row: means.filter(row=row)["ndcg@20"].to_numpy() for row in ROWS}
    by_hand = {
        "popularity": compare(users["popularity"], users["ease"]),
        "weak": compare(users["weak"], users["popularity"]),
    }
    told = {row: found["rows"][row]["against"] for row in by_hand}
    assert {row: against["row"] for row, against in told.items()} == {
        "popularity": "ease", "weak": "popularity",
    }  # fmt: skip
    corrected = holm([comparison.t_test for comparison in by_hand.values()])
    for (row, comparison), p in zip(by_hand.items(), corrected, strict=True):
        assert told[row]["gain"] == pytest.approx(comparison.gain)
        assert told[row]["t_test_holm"] == pytest.approx(p)
    table = main_table(found)
    over = table.columns.index("over")
    assert {cell[0]: cell[over] for cell in table.cells} == {
        "popularity": "ease", "ease": "", "weak": "popularity",
    }  # fmt: skip


def test_rows_that_start_from_a_tuned_row_share_its_fits(ready: Workspace) -> None:
    rows = {
        "base": {"model": "lightgcn", "settings": FEW, "search": {"layers": [1, 2]}},
        "neggen": {
            "model": "neggen",
            "base": "base",
            "settings": {**FEW, "heads": 2},
            "search": {},
        },
    }
    study = Study.parse({"seeds": 2, "budget": 3, "rows": rows})
    found = run_study(ready, study, "base")["rows"]
    layers = found["base"]["settings"]["layers"]
    assert layers == found["base"]["tuning"]["params"].get("layers", 3)
    assert found["neggen"]["settings"]["base"]["layers"] == layers
    assert found["neggen"]["tuning"]["base_trials"] == 3
    bases = ready.path / "studies" / "cache" / "bases"
    assert sorted(read_toml(path)["settings"]["seed"] for path in bases.glob("*/config.toml")) == [
        0,
        1,
    ]
    assert all(
        n >= b - 1e-6 for n, b in zip(found["neggen"]["valid"], found["base"]["valid"], strict=True)
    )


@pytest.mark.parametrize("learner", ["content-knn", None])
def test_a_table_is_of_one_state_of_the_workspace(
    ready: Workspace, learner: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"popularity": {"model": "popularity"}, "other": {"model": learner or "ease"}}
    study = Study.parse({"seeds": 2, "rows": rows})
    fit = run._fit

    def rejecting(place: Place, study: Study, row: Row, *details: Any) -> Fit:
        found = fit(place, study, row, *details)
        if row.model == (learner or "popularity"):  # meanwhile somebody rejects a description
            records = read_records(ready.records_path)
            records.head(-1).write_parquet(ready.records_path)
        return found

    monkeypatch.setattr(run, "_fit", rejecting)
    if learner is None:
        found = run_study(ready, study, "reviewed")["rows"]
        assert all(len(row["diversity"]) == 3 for row in found.values()), "no distances of lists"
        return
    with pytest.raises(NegGenError, match="has changed while the study ran"):
        run_study(ready, study, "reviewed")
    monkeypatch.setattr(run, "_fit", fit)
    found = run_study(ready, study, "reviewed")["rows"]
    assert all(len(row["diversity"]) == 4 for row in found.values())


def test_settings_are_chosen_on_the_state_that_is_tested(
    ready: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"knn": {"model": "content-knn", "search": {"content": ["text", "descriptions"]}}}
    study = Study.parse({"seeds": 1, "budget": 3, "rows": rows})
    validate = Task.validate

    def rejecting(task: Task, settings: Mapping[str, Any]) -> tuple[dict[str, float], float, float]:
        records = read_records(ready.records_path)
        records.head(-1).write_parquet(ready.records_path)
        return validate(task, settings)

    monkeypatch.setattr(Task, "validate", rejecting)
    with pytest.raises(NegGenError, match="has changed while the study ran"):
        run_study(ready, study, "reviewed")
    monkeypatch.setattr(Task, "validate", validate)
    assert run_study(ready, study, "reviewed")["rows"]["knn"]["tuning"]["trials"] == 3


def test_which_descriptions_a_row_sees_means_nothing_beside_given_features(tmp_path: Path) -> None:
    workspace, data = Workspace(tmp_path / "w"), checkerboard()
    given = Features(
        np.eye(len(data.item_ids), dtype=np.float32), np.ones(len(data.item_ids), bool)
    )
    save_dataset(workspace, data.replace(features={"text": given}), source="the checkerboard")
    rows = {"lattice": {"model": "lattice", "modality": "own"}}
    with pytest.raises(NegGenError, match="features of the items came with the data"):
        run_study(workspace, Study.parse({"rows": rows}), "given")


def test_processes_find_what_one_process_finds(ready: Workspace) -> None:
    study = Study.parse({"seeds": 2, "rows": ROWS})
    told: list[tuple[str, int, int]] = []
    two = run_study(ready, study, "two", jobs=2, tell=lambda *step: told.append(step))
    assert told[-1] == ("Fitting and testing", 6, 6)
    for path in (ready.path / "studies" / "cache").rglob("*.json"):
        path.unlink()
    one = run_study(ready, study, "one")
    for found in (one, two):
        for row in found["rows"].values():
            for key in ("seconds", "evaluation_seconds", "epoch_seconds", "peak_mib"):
                del row[key]
    assert one == two


def test_every_ablation_for_real(checkers: Workspace) -> None:
    values = read_toml(packaged("ablations.toml"))
    for name, row in values["rows"].items():
        heads = {"heads": 2} if row["model"] == "neggen" else {}
        values["rows"][name] = {**row, "settings": {**FEW, **heads, **row.get("settings", {})}}
    values["sweeps"] = {
        name: {**sweep, "values": sweep["values"][:2]} for name, sweep in values["sweeps"].items()
    }
    found = run_study(checkers, Study.parse({**values, "seeds": 1}), "ablations")
    assert list(found["rows"]) == list(values["rows"])
    fits = checkers.path / "studies" / "cache" / "fits"
    hashes = {fit["identity"].get("vectors_hash") for fit in map(_json, fits.glob("*.json"))}
    # LightGCN has none; as recorded, five other negatives, two modalities, none of them.
    assert len(hashes) == 10
    for name, sweep in found["sweeps"].items():
        assert len(sweep["valid"]) == len(sweep["tested"]) == 2
        assert (checkers.path / "studies" / "ablations" / f"sweep-{name}.png").is_file()
    assert (
        found["sweeps"]["contrast"]["valid"][0]
        == found["rows"]["descriptions only (contrast = 0)"]["valid"]
    )


def test_a_row_of_the_only_modality_is_left_out(ready: Workspace) -> None:
    rows = {name: {"model": "neggen-linear", "modality": name} for name in ("image", "text")} | {
        "both": {"model": "neggen-linear"}
    }
    found = run_study(ready, Study.parse({"seeds": 1, "rows": rows}), "modalities")
    assert list(found["rows"]) == ["both"]


def test_rows_of_the_only_modality_alone_are_refused(ready: Workspace) -> None:
    study = Study.parse({"rows": {"picture": {"model": "neggen-linear", "modality": "image"}}})
    with pytest.raises(NegGenError, match=r"Every row keeps a single modality.* without 'modalit"):
        run_study(ready, study, "picture")
    assert not (ready.path / "studies" / "picture" / "results.json").exists()


def test_cold_items_are_ranked_among_cold_items(ready: Workspace) -> None:
    study = Study.parse({"seeds": 1, "split": "cold-items", "rows": {"ease": {"model": "ease"}}})
    found = run_study(ready, study, "cold")["rows"]["ease"]
    data = load_dataset(ready, SplitConfig(kind="cold-items"))
    cold = np.unique(data.test.indices)
    assert 5 < len(cold) < 20
    assert found["metrics"]["recall@20"] == [1.0], "there are fewer than twenty"


def test_the_table_is_about_the_further_test_set_it_names(tmp_path: Path) -> None:
    place, shop = Workspace(tmp_path / "w"), make_shop(items=60, users=50)
    save_dataset(place, shop.dataset(tmp_path), source="the built-in shop")  # not drawn
    study = Study.parse({"seeds": 1, "part": "shifted", "reference": "ease", "rows": ROWS})
    found = run_study(place, study, "shifted")
    data = load_dataset(place, SplitConfig())
    model = EASE(regularization=50.0).fit(data)
    shifted = evaluate_ranking(model.score_index, data.everything, data.matrix("shifted"))
    test = evaluate_ranking(model.score_index, data.train, data.test)
    ease = found["rows"]["ease"]
    assert ease["metrics"]["recall@20"] == [shifted.metrics["recall@20"]]
    assert ease["metrics"]["recall@20"] != [test.metrics["recall@20"]]
    valid = evaluate_ranking(model.score_index, data.train, data.valid)
    assert ease["valid"] == [valid.metrics["ndcg@20"]], "choosing knows of no test set"
    table = pl.read_parquet(place.path / "studies" / "shifted" / "per_user.parquet")
    assert table.filter(row="ease")["ndcg@20"].to_list() == pytest.approx(
        shifted.per_user["ndcg@20"].tolist()
    )


@pytest.mark.parametrize(("split", "seeds"), [("random", 1), ("random", 2), ("cold-items", 1)])
def test_the_table_says_what_descriptions_know(ready: Workspace, split: str, seeds: int) -> None:
    rows = {"popularity": {"model": "popularity"}}
    found = run_study(ready, Study.parse({"seeds": seeds, "split": split, "rows": rows}), "knows")
    assert found["writers"] == ["catalogue (no language model)"]
    told = (ready.path / "studies" / "knows" / "results.md").read_text()
    usual = (split, seeds) == ("random", 1)
    assert ("know something of what is tested" in told) is not usual


def test_a_further_test_set_may_hold_nothing_new(tmp_path: Path) -> None:
    place, shop = Workspace(tmp_path / "w"), make_shop(items=60, users=50)
    data = shop.dataset(tmp_path)
    known = np.stack([data.users[:5], data.items[:5]], axis=1)
    save_dataset(place, data.replace(test_sets={"known": known}), source="the built-in shop")
    study = Study.parse({"seeds": 1, "rows": {"ease": {"model": "ease"}}})
    assert run_study(place, study, "some")["rows"]["ease"]["metrics"]["recall@20"][0] > 0
    with pytest.raises(NegGenError, match=r"part = 'known' of .* holds nothing that is not in the"):
        run_study(place, study.updated(part="known"), "none")


def test_a_process_that_is_killed_is_told_of() -> None:
    with pytest.raises(NegGenError, match=r"One of 2 processes was killed, .* fewer --jobs"):
        list(_made(2, [partial(os._exit, 1), partial(os._exit, 1)]))


def test_own_texts_alone_are_a_row(checkers: Workspace) -> None:
    row = {"model": "neggen-linear"}
    rows = {"all": row, "own texts": {**row, "modality": "own"}}
    found = run_study(checkers, Study.parse({"seeds": 1, "rows": rows}), "own")["rows"]
    assert found["own texts"]["metrics"] != found["all"]["metrics"]


@pytest.mark.parametrize(
    ("split", "seeds", "labeled", "told"),
    [
        ("given", 5, True, False),
        ("random", 1, True, True),  # the generator learned from the labels
        ("random", 1, False, False),
        ("random", 2, False, True),
    ],
)
def test_what_the_generator_learned_from_decides(
    split: str, seeds: int, labeled: bool, told: bool
) -> None:
    results = {"split": split, "seeds": seeds, "labeled": labeled}
    sentence = _of_descriptions({**results, "writers": [CatalogueBackend.name]})
    assert bool(sentence) is told
    assert not _of_descriptions({**results, "writers": ["recorded"]})


def test_a_part_that_is_not_there(ready: Workspace) -> None:
    study = Study.parse({"part": "shifted", "rows": ROWS})
    with pytest.raises(NegGenError, match=r"part = 'shifted' is not in .*; parts are test\."):
        run_study(ready, study, "part")


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
