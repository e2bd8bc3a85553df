"""Tuning: by validation alone, a fixed number of trials, and none of them twice."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from neggen.comparison.fitting import Task
from neggen.comparison.loading import without_test
from neggen.comparison.rows import Row
from neggen.comparison.space import decoded, points
from neggen.comparison.study import Study
from neggen.comparison.tuning import Tuned, import_optuna, tune
from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset, save_dataset
from neggen.errors import NegGenError
from neggen.workspace import Workspace

WEAK, STRONG = 1.0, 1e5
GRID = {"regularization": [WEAK, STRONG]}


def study_of(space: dict[str, Any], *, budget: int, model: str = "ease", **row: Any) -> Study:
    rows = {"row": {"model": model, "search": space, **row}}
    return Study.parse({"split": "given", "budget": budget, "metric": "ndcg@5", "rows": rows})


def tuned(place: Workspace, study: Study, path: Path) -> Tuned:
    return tune(place, study, "row", study.settings("row"), path)


def stored(path: Path) -> list[Any]:
    optuna = import_optuna()
    storage = f"sqlite:///{path}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


def labeled(folder: Path, *, tastes: str, fashion: str) -> Workspace:
    """Two groups of users with ten items each, and two items that are in fashion with all.

    The part ``tastes`` asks for items of the user's group, which a little regularization finds; the
    part ``fashion`` for what is in fashion, which is all that is left under a strong one.
    """
    rng = np.random.default_rng(0)
    log = []
    for user in range(60):
        own = rng.permutation(10) + 10 * (user % 2)
        log += [(user, item, "train") for item in own[:5]] + [(user, own[5], tastes)]
        if user % 3:
            log += [(user, 20, "train"), (user, 21, "train")]
        else:
            log += [(user, 20, "train"), (user, 21, fashion)]
    frame = pl.DataFrame(log, schema=["user_id", "item_id", "part"], orient="row")
    names = [
        pl.format("{}", "user_id").alias("user_id"),
        pl.format("{}", "item_id").alias("item_id"),
    ]
    workspace = Workspace(folder)
    save_dataset(workspace, Dataset.from_frames(frame.with_columns(names)), source="groups")
    return workspace


def test_what_is_better_on_test_but_worse_on_validation_is_not_chosen(tmp_path: Path) -> None:
    places = {
        WEAK: labeled(tmp_path / "a", tastes="valid", fashion="test"),
        STRONG: labeled(tmp_path / "b", tastes="test", fashion="valid"),
    }
    for best, place in places.items():
        task = Task(place, Row(model="ease"), SplitConfig(kind="given"), 0, "cpu")
        figures = {value: task.fit({"regularization": value}).metrics for value in (WEAK, STRONG)}
        other = WEAK + STRONG - best
        assert figures[best]["valid"]["ndcg@5"] > figures[other]["valid"]["ndcg@5"]
        assert figures[best]["test"]["ndcg@5"] < figures[other]["test"]["ndcg@5"]
        study = study_of(GRID, budget=9, settings={"regularization": other})
        found = tuned(place, study, tmp_path / f"{best:g}.db")
        assert found.params == {"regularization": best}
        assert found.value == figures[best]["valid"]["ndcg@5"]
        assert found.trials == 3, "the row as it stands, and two points"


def test_what_is_fitted_has_no_test_part(tmp_path: Path) -> None:
    data = load_dataset(
        labeled(tmp_path / "w", tastes="valid", fashion="test"), SplitConfig(kind="given")
    ).replace(test_sets={"further": np.zeros((1, 2), np.int32)})
    known = without_test(data)
    assert known.test.nnz == 0
    assert known.test_sets == {}
    for part in ("train", "valid"):
        assert (known.matrix(part) != data.matrix(part)).nnz == 0
    assert known.everything.nnz == data.train.nnz + data.valid.nnz


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return labeled(tmp_path_factory.mktemp("groups") / "w", tastes="valid", fashion="test")


RANGE = {"regularization": {"low": 1, "high": 1000, "log": True}}


LEARNING = {"learning_rate": {"low": 0.01, "high": 0.1}}


def test_a_search_in_two_goes_is_the_search_in_one(groups: Workspace, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.db", tmp_path / "parts.db"
    at_once = tuned(groups, study_of(RANGE, budget=14), whole)
    tuned(groups, study_of(RANGE, budget=5), parts)
    before = stored(parts)
    assert len(before) == 5
    in_two = tuned(groups, study_of(RANGE, budget=14), parts)
    after = stored(parts)
    assert after[:5] == before, "finished trials are kept"
    assert [trial.params for trial in after] == [trial.params for trial in stored(whole)]
    assert in_two.params == at_once.params
    assert after[0].params == {}
    assert len({trial.params["regularization"] for trial in after[1:]}) == 13
    assert tuned(groups, study_of(RANGE, budget=14), parts) == in_two
    assert tuned(groups, study_of(RANGE, budget=5), parts).trials == 5, "more do not count"


def test_two_that_tune_the_same_row_share_its_trials(
    groups: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate, tried = Task.validate, []

    def taking_a_moment(task: Task, settings: Mapping[str, Any]) -> tuple[float, ...]:
        tried.append(settings)
        time.sleep(0.1)
        return validate(task, settings)

    monkeypatch.setattr(Task, "validate", taking_a_moment)
    study = study_of({"regularization": {"low": 1.0, "high": 1e5, "log": True}}, budget=4)
    with ThreadPoolExecutor(2) as both:
        found = list(both.map(lambda _: tuned(groups, study, tmp_path / "t.db"), range(2)))
    assert len(tried) == len(stored(tmp_path / "t.db")) == 4
    assert found[0] == found[1]


def test_a_larger_budget_tries_what_is_left_of_a_grid(groups: Workspace, tmp_path: Path) -> None:
    grid = {"regularization": [1.0, 10.0, 100.0, 1e3, 1e4, 1e5]}
    start = {"settings": {"regularization": 1e6}}
    fresh = tuned(groups, study_of(grid, budget=9, **start), tmp_path / "fresh.db")
    for fewer in (1, 3):
        path = tmp_path / f"{fewer}.db"
        tuned(groups, study_of(grid, budget=fewer, **start), path)
        before = stored(path)
        raised = tuned(groups, study_of(grid, budget=9, **start), path)
        after = stored(path)
        assert after[:fewer] == before
        assert after[0].params == {}
        tried = [trial.params["regularization"] for trial in after[1:]]
        assert set(tried) == set(grid["regularization"])
        assert len(set(tried[fewer - 1 :])) == len(tried[fewer - 1 :]), "none is tried again"
        assert raised.trials == len(after)
        assert (raised.params, raised.value) == (fresh.params, fresh.value)
        assert tuned(groups, study_of(grid, budget=9, **start), path) == raised
        assert stored(path) == after, "nothing is left"


def test_other_settings_are_other_trials(groups: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "trials.db"
    tuned(groups, study_of(RANGE, budget=1), path)
    fixed = study_of({"layers": [1]}, budget=1, model="lightgcn", settings={"epochs": 1})
    tuned(groups, fixed, path)
    assert len(import_optuna().get_all_study_names(f"sqlite:///{path}")) == 2


def test_a_setting_that_cannot_be_fitted_is_a_failed_trial(
    groups: Workspace, tmp_path: Path
) -> None:
    few = {"epochs": 2, "dim": 4}
    diverging = study_of(
        {"learning_rate": [1e30]}, budget=5, model="lightgcn", settings={**few, "layers": 1}
    )
    found = tuned(groups, diverging, tmp_path / "some.db")
    assert (found.params, found.trials, found.failed) == ({}, 2, 1)
    assert "lower learning_rate" in stored(tmp_path / "some.db")[1].user_attrs["error"]
    hopeless = study_of(
        {"layers": [1, 2]},
        budget=5,
        model="lightgcn",
        settings={**few, "learning_rate": 1e30},
    )
    with pytest.raises(NegGenError, match="All 3 trials of row failed, the first with: The loss"):
        tuned(groups, hopeless, tmp_path / "none.db")


def test_a_lack_of_memory_counts_this_time_alone(
    groups: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, path = study_of(GRID, budget=3), tmp_path / "trials.db"
    with monkeypatch.context() as full:
        full.setattr("neggen.models.ease.free_memory", lambda device: 0)
        with pytest.raises(NegGenError, match=r"All 3 trials of row failed, .* memory are free"):
            tuned(groups, study, path)
    found = tuned(groups, study, path)
    assert (found.trials, found.failed) == (3, 0)
    assert found.params == tuned(groups, study, tmp_path / "fresh.db").params


def test_the_row_as_it_stands_is_tried_once_there_is_memory(
    groups: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another trial came after the one that lacked memory, and then the process ended."""
    study, path, honest = study_of(GRID, budget=3), tmp_path / "trials.db", Task.validate
    asked: list[Mapping[str, Any]] = []

    def full_at_first(
        task: Task, settings: Mapping[str, Any]
    ) -> tuple[dict[str, float], float, float]:
        asked.append(settings)
        if len(asked) == 1:
            raise MemoryError
        if len(asked) == 3:
            raise KeyboardInterrupt
        return honest(task, settings)

    with monkeypatch.context() as once:
        once.setattr(Task, "validate", full_at_first)
        with pytest.raises(KeyboardInterrupt):
            tuned(groups, study, path)
    found = tuned(groups, study, path)
    assert (found.trials, found.failed) == (3, 0)
    assert [trial.params for trial in stored(path)].count({}) == 2, "once in vain"


def test_a_matrix_that_cannot_be_inverted_is_a_failed_trial(tmp_path: Path) -> None:
    log = [(user, item, "train") for user in range(4) for item in (0, 1)]
    log += [(user, 2, part) for user, part in enumerate(["train", "valid", "valid", "test"])]
    frame = pl.DataFrame(log, schema=["user_id", "item_id", "part"], orient="row")
    place = Workspace(tmp_path / "twins")
    save_dataset(
        place, Dataset.from_frames(frame.cast({"user_id": str, "item_id": str})), source="twins"
    )
    path = tmp_path / "trials.db"
    found = tuned(place, study_of({"regularization": [1e-9]}, budget=2), path)
    assert (found.params, found.trials) == ({}, 2)
    assert "is singular; raise regularization" in stored(path)[1].user_attrs["error"]


def test_settings_that_are_tables_are_tuned(groups: Workspace, tmp_path: Path) -> None:
    samplers = ["uniform", {"name": "dns", "candidates": 4}]
    few = {"epochs": 2, "dim": 4, "learning_rate": 0.05}
    study = study_of({"sampler": samplers}, budget=3, model="mf", settings=few)
    path = tmp_path / "trials.db"
    found = tuned(groups, study, path)
    assert found.trials == 3
    space = study.space("row")
    tried = [decoded(trial.params, space) for trial in stored(path)[1:]]
    assert tried == [{"sampler": sampler} for sampler in samplers]
    assert found.params in ({}, *tried)
    assert tuned(groups, study, path) == found
    drawn = study_of({"sampler": samplers, **LEARNING}, budget=3, model="mf", settings=few)
    assert tuned(groups, drawn, tmp_path / "drawn.db").trials == 3


def test_without_budget_or_space_nothing_is_tried(groups: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "trials.db"
    for study in (study_of(RANGE, budget=0), study_of({}, budget=4)):
        assert tuned(groups, study, path) == Tuned({})
    assert not path.exists()


def test_optuna_is_named_where_it_is_missing(
    groups: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(NegGenError, match=r'pip install "neggen\[tune\]"'):
        tuned(groups, study_of(RANGE, budget=2), tmp_path / "trials.db")


def test_points_of_a_space() -> None:
    space = {"a": (1, 2), "b": ([0.5], [1.0, 2.0], [3.0])}
    found = points(space, 6)
    assert found is not None
    assert [decoded(point, space) for point in found] == [
        {"a": a, "b": b} for a in (1, 2) for b in ([0.5], [1.0, 2.0], [3.0])
    ]
    assert points(space, 5) is None


def test_no_trial_begins_after_its_time(
    groups: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, honest, asked = tmp_path / "trials.db", Task.validate, list[float]()

    def taking_long(
        task: Task, settings: Mapping[str, Any]
    ) -> tuple[dict[str, float], float, float]:
        asked.append([30, 30, 30, 30, 1, 1, 1][len(asked)])
        return honest(task, settings)[0], asked[-1], 0.0

    monkeypatch.setattr(Task, "validate", taking_long)

    def within(minutes: float, budget: int = 6) -> Tuned:
        study = study_of(RANGE, budget=budget).updated(minutes=minutes)
        return tuned(groups, study, path)

    first = within(1)
    assert (first.trials, first.seconds, first.out_of_time) == (2, 60, True)
    again = within(1)
    assert (again, len(asked)) == (first, 2), "resuming spends nothing"
    assert within(1.2).trials == 3, "the third may begin after 60 s, not the fourth"
    whole = within(0)
    assert (whole.trials, whole.out_of_time) == (6, False)
    assert within(2.1).out_of_time is False, "all six began in time"
    assert within(1) == first, "trials beyond the time do not count"
    assert within(1, budget=2).out_of_time is False, "it had all of its trials"


def test_each_row_has_its_own_time(groups: Workspace, tmp_path: Path) -> None:
    rows = {name: {"model": "ease", "search": RANGE} for name in ("a", "b")}
    rows["b"]["settings"] = {"regularization": 3.0}
    study = Study.parse({"split": "given", "budget": 3, "minutes": 1e-6, "rows": rows})
    for name in rows:
        found = tune(groups, study, name, study.settings(name), tmp_path / "trials.db")
        assert (found.trials, found.out_of_time) == (1, True), "the row as it stands is tried"
