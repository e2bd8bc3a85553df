"""Data that are read once, and again as soon as they may have changed."""

from __future__ import annotations

import shutil
from functools import partial

import polars as pl
import pytest

from neggen.comparison import fitting
from neggen.comparison.fitting import Fit, Task
from neggen.comparison.loading import split_data, varied_data
from neggen.comparison.rows import Row
from neggen.config import SplitConfig
from neggen.data.selection import selected
from neggen.data.store import load_dataset, save_dataset
from neggen.encoding.store import encode
from neggen.errors import NegGenError
from neggen.generation.record_files import read_records
from neggen.models.base import FitContext
from neggen.models.ease import EASE
from neggen.models.measuring import measure
from neggen.runs import with_vectors
from neggen.training.loop import EpochLog
from neggen.workspace import Workspace, read_toml, write_toml


def test_splits_share_their_vectors_and_are_read_once(ready: Workspace) -> None:
    one = split_data(ready, SplitConfig(seed=0), described=True)
    other = split_data(ready, SplitConfig(seed=1), described=True)
    assert one is split_data(Workspace(ready.path), SplitConfig(seed=0), described=True)
    assert (one.parts != other.parts).any()
    assert one.vectors is other.vectors
    assert split_data(ready, SplitConfig(seed=0), described=False).vectors is None


def test_variants_differ_and_leave_the_data_alone(ready: Workspace) -> None:
    split = SplitConfig()
    whole = split_data(ready, split, described=True)
    own, own_hash = varied_data(ready, split, "generated", None, 0, "cpu")
    hashes = {varied_data(ready, split, "shuffled", None, seed, "cpu")[1] for seed in (0, 1)}
    assert len({own_hash, *hashes}) == 3
    assert own.vectors is whole.vectors
    assert whole.vectors is not None
    assert own_hash == whole.vectors.content_hash
    assert varied_data(ready, split, "generated", None, 5, "cpu")[0] is own, "nothing is drawn"


def test_another_import_is_read_again(ready: Workspace) -> None:
    row, split = Row(model="ease"), SplitConfig()
    before = Task(ready, row, split, 0, "cpu")
    fit = before.fit({})
    data = load_dataset(ready)
    save_dataset(ready, selected(data, data.users > 5), source="fewer", overwrite=True)
    shutil.rmtree(ready.vectors_dir)
    ready.records_path.unlink()
    after = Task(ready, row, split, 0, "cpu")
    assert after.data.shape[0] == before.data.shape[0] - 6
    assert after.fit({}).per_user_path != fit.per_user_path


def test_other_vectors_are_read_again(ready: Workspace) -> None:
    split = SplitConfig()
    before = split_data(ready, split, described=True)
    manifest = ready.vectors_dir / "manifest.toml"
    write_toml(manifest, read_toml(manifest))
    after = split_data(ready, split, described=True)
    assert after is not before
    assert after.vectors is not None
    assert before.vectors is not None
    assert after.vectors.content_hash == before.vectors.content_hash


def test_other_answers_are_other_distances_of_lists(ready: Workspace, word_encoder) -> None:
    def fit() -> Fit:
        return Task(ready, Row(model="ease"), SplitConfig(), 0, "cpu").fit({})

    before, records, data = fit(), read_records(ready.records_path), load_dataset(ready)
    red = pl.format("It is red like {}.", "item_id")
    again = records.with_columns(
        description=red, template=pl.lit("It is [MASK]."), negative=pl.lit("It is blue."),
        values=pl.concat_list(red.str.strip_prefix("It is ").str.strip_suffix(".")),
        replacements=pl.concat_list(pl.lit("blue")),
    )  # fmt: skip
    again.select(records.columns).write_parquet(ready.records_path)
    encode(ready, data, again, word_encoder)
    after, name = fit(), "intra_list_distance@20"
    split = with_vectors(ready, load_dataset(ready, SplitConfig()))
    measured = measure(EASE().fit(split), split, "test")
    assert after.diversity["test"][name] == measured.beyond[name]
    assert after.diversity["test"][name] != before.diversity["test"][name]
    assert after.metrics == before.metrics


@pytest.mark.parametrize("left", ["nothing", "a folder", "some texts"])
def test_rows_without_vectors_do_not_wait_for_an_encoding(ready: Workspace, left: str) -> None:
    name = "intra_list_distance@20"
    assert Task(ready, Row(model="ease"), SplitConfig(), 0, "cpu").fit({}).diversity["test"][name]
    if left == "nothing":
        shutil.rmtree(ready.vectors_dir)
    elif left == "a folder":
        ready.vectors_manifest_path.unlink()
    else:
        records = read_records(ready.records_path)
        new = records.with_columns(description=pl.lit("New."), template=pl.lit("[MASK]."))
        new = new.with_columns(values=pl.concat_list(pl.lit("New")))
        new = new.with_columns(replacements=pl.concat_list(pl.lit("Old")), negative=pl.lit("Old."))
        new.select(records.columns).write_parquet(ready.records_path)
    fit = Task(ready, Row(model="ease"), SplitConfig(), 0, "cpu").fit({})
    assert fit.described_by is fit.vectors_hash is None
    assert name not in fit.diversity["test"]
    with pytest.raises(NegGenError, match="run: neggen encode"):
        Task(ready, Row(model="content-knn"), SplitConfig(), 0, "cpu").fit({})


def test_a_task_goes_by_one_state_of_the_workspace(ready: Workspace) -> None:
    task = Task(ready, Row(model="content-knn"), SplitConfig(), 0, "cpu")
    before = task.identity({})
    records = read_records(ready.records_path)
    records.head(-1).write_parquet(ready.records_path)
    assert task.identity({}) == before
    after = Task(ready, Row(model="content-knn"), SplitConfig(), 0, "cpu").identity({})
    assert after["vectors_hash"] != before["vectors_hash"]


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "gone"])
def test_a_damaged_fit_is_fitted_anew(ready: Workspace, suffix: str, damage: str) -> None:
    task = Task(ready, Row(model="popularity"), SplitConfig(), 0, "cpu")
    fit = task.fit({})
    users = pl.read_parquet(fit.per_user_path)
    path = fit.per_user_path.with_suffix(suffix)
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": whole[:-9], "empty": b"", "garbage": b"\xff" * 99}[damage])
    again = task.fit({})
    assert (again.per_user_path, again.metrics) == (fit.per_user_path, fit.metrics)
    assert pl.read_parquet(again.per_user_path).equals(users)
    assert task.fit({}) == again, "it is found again"


def test_a_finished_fit_is_found_with_what_it_cost(ready: Workspace) -> None:
    task = Task(ready, Row(model="lightgcn"), SplitConfig(), 0, "cpu")
    settings = {"epochs": 3, "dim": 8}
    fit = task.fit(settings)
    assert task.fit(settings) == fit
    assert fit.cost.device == "cpu"
    assert fit.cost.epoch_seconds is not None
    assert 0 < fit.cost.epoch_seconds * 3 <= fit.cost.seconds + 0.01
    assert set(fit.evaluation_seconds) == {"valid", "test"}
    assert set(fit.slices["test"]) == {"tail", "cold", "low-activity"}
    assert (
        Task(ready, Row(model="ease"), SplitConfig(), 0, "cpu").fit({}).cost.epoch_seconds is None
    )


def test_a_sampler_that_learns_from_vectors_makes_a_row_that_does(ready: Workspace) -> None:
    plain, settings = {"epochs": 1, "dim": 8}, {"epochs": 1, "dim": 8, "sampler": "generated"}
    own, placebo = (
        Task(ready, Row(model="mf", negatives=negatives), SplitConfig(), 0, "cpu")
        for negatives in ("generated", "shuffled")
    )
    assert "vectors_hash" not in own.identity(plain)
    assert own.identity(settings)["vectors_hash"] != placebo.identity(settings)["vectors_hash"]
    assert own.fit(settings).metrics["test"]["recall@20"] > 0


@pytest.mark.parametrize("phase", ["lightgcn", "neggen"])
def test_an_interrupted_fit_goes_on(phase: str, ready: Workspace, monkeypatch) -> None:
    few = {"epochs": 6, "dim": 8, "evaluate_every": 2, "checkpoint_seconds": 0}
    settings, seen = {**few, "heads": 2, "base": few}, []
    undisturbed = Task(ready, Row(model="neggen"), SplitConfig(), 0, "cpu").fit(settings)
    shutil.rmtree(ready.path / "studies")

    def interrupt(of_phase: str, log: EpochLog) -> None:
        if (of_phase, log.epoch) == (phase, 4):
            raise KeyboardInterrupt

    task = Task(ready, Row(model="neggen"), SplitConfig(), 0, "cpu")
    with monkeypatch.context() as patched:
        patched.setattr(fitting, "FitContext", partial(FitContext, on_epoch=interrupt))
        with pytest.raises(KeyboardInterrupt):
            task.fit(settings)
    assert not list(ready.path.glob("studies/cache/fits/*.json"))
    told = partial(FitContext, on_epoch=lambda *told: seen.append(told))
    monkeypatch.setattr(fitting, "FitContext", told)
    resumed = task.fit(settings)
    epochs = {of: [log.epoch for name, log in seen if name == of] for of, _ in seen}
    rest = {phase: [4, 5, 6]}
    assert epochs == (rest if phase == "neggen" else {**rest, "neggen": [*range(7)]})
    assert resumed.metrics == undisturbed.metrics
    assert not list(ready.path.glob("studies/cache/*/*.checkpoints"))
