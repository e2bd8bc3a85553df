"""Runs that are trained once more, on everything."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import pytest
import torch

from neggen import LightGCN, NegGen
from neggen.config import SplitConfig
from neggen.data.store import load_dataset
from neggen.generation.record_files import read_records
from neggen.models.ease import EASE
from neggen.models.mf import MF
from neggen.models.neggen_module import some_users, spread
from neggen.quality.measure import measure_quality
from neggen.refitting import refit_run
from neggen.runs import Run, finished_runs, train_run, with_vectors
from neggen.studio.report import gather
from neggen.testing import refuses
from neggen.training import loop
from neggen.workspace import Workspace

SPLIT = SplitConfig()
FEW = {"dim": 8, "epochs": 12, "evaluate_every": 2, "learning_rate": 0.01}


def best_epoch(run: Run, phase: str) -> int:
    return max(log["epoch"] for log in run.history[phase] if log["best"])


def test_as_many_epochs_as_validated_best_on_everything(ready: Workspace) -> None:
    run = train_run(ready, "mf", FEW, SPLIT)
    made = refit_run(run)
    assert made.folder.name == f"{run.folder.name}-refit"
    best = best_epoch(run, "mf")
    assert made.manifest["settings"] == {**run.manifest["settings"], "epochs": best}
    assert [log["valid"] for log in made.history["mf"]] == [None] * (best + 1)
    everything = load_dataset(ready).split("everything")
    assert everything.train.nnz == len(everything.users)
    fitted = MF(**{**FEW, "epochs": best}).fit(everything)
    assert torch.equal(made.load_model().user_embeddings, fitted.user_embeddings)
    assert Run.open(run.folder).manifest == run.manifest, "the run stays as it is"


def test_closed_form(ready: Workspace) -> None:
    made = refit_run(train_run(ready, "ease", {"regularization": 50}, SPLIT), name="all")
    assert made.folder.name == "all"
    fitted = EASE(regularization=50).fit(load_dataset(ready).split("everything"))
    assert torch.equal(made.load_model().weights, fitted.weights)


@pytest.mark.parametrize("score", ["profile", "embedding"])
def test_neggen_keeps_its_share_and_its_base_its_epochs(ready: Workspace, score: str) -> None:
    base = {**FEW, "layers": 1}
    shares = [0.0, 0.3, 3.0]
    settings = {**FEW, "heads": 2, "score": score, "base": base, "effect_weights": shares}
    run = train_run(ready, "neggen", settings, SPLIT)
    (of_base,) = (Run(path) for path in ready.runs_dir.glob("lightgcn-*"))
    made = refit_run(run)
    found = made.manifest["settings"]
    assert found["epochs"] == best_epoch(run, "neggen")
    assert found["base"]["epochs"] == best_epoch(of_base, "lightgcn")
    model = made.load_model()
    assert isinstance(model, NegGen)
    assert shares_of(run.load_model()) == pytest.approx(found["effect_weights"], abs=1e-4)
    assert shares_of(model) == pytest.approx(found["effect_weights"], abs=1e-4)
    assert "modality_shares" not in made.manifest, "they are measured on validation"


def shares_of(model: NegGen) -> list[float]:
    """Return λ in the units of its candidates."""
    if model.config.score == "embedding":
        return [float(model.effect_weight)]
    users = some_users(len(model.user_tastes), len(model.effects), "cpu")
    causal = spread(model.user_tastes[users] @ model.effects.T)
    return [float(causal / spread(model.backbone.score_index(users))) if causal > 1e-5 else 0.0]


def test_an_interrupted_refit_goes_on_to_the_same_weights(
    ready: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_run(ready, "mf", FEW, SPLIT)
    whole = refit_run(run, name="whole").load_model()
    clock = SimpleNamespace(monotonic=count(step=1000).__next__)
    monkeypatch.setattr(loop, "time", clock)  # so that a checkpoint is due after every epoch

    def interrupt(_, log) -> None:
        if log.epoch == last:
            raise KeyboardInterrupt

    last = best_epoch(run, "mf")
    assert last > 1
    with pytest.raises(KeyboardInterrupt):
        refit_run(run, name="halved", on_epoch=interrupt)
    told = []
    halved = refit_run(run, name="halved", on_epoch=lambda _, log: told.append(log.epoch))
    assert told == [last], "it goes on after the epoch before"
    assert torch.equal(halved.load_model().item_embeddings, whole.item_embeddings)


def test_as_many_epochs_as_were_kept_where_validation_is_blind(ready: Workspace) -> None:
    run = train_run(ready, "mf", {**FEW, "epochs": 4}, SplitConfig(kind="cold-items"))
    assert [log["epoch"] for log in run.history["mf"] if log["best"]] == [0]
    assert refit_run(run).manifest["settings"]["epochs"] == 4


def test_other_descriptions_are_not_refitted(ready: Workspace) -> None:
    run = train_run(ready, "neggen-linear", {}, SPLIT)
    read_records(ready.records_path).head(-1).write_parquet(ready.records_path)
    with refuses("was trained on other descriptions", "train again with --overwrite"):
        refit_run(run)


def test_what_cannot_be_refitted(ready: Workspace) -> None:
    made = refit_run(train_run(ready, "popularity", {}, SPLIT))
    with refuses("has learned from all interactions already"):
        refit_run(made)
    data = with_vectors(ready, load_dataset(ready)).split("everything")
    with refuses("Nothing validates on the split 'everything', so set epochs"):
        LightGCN(dim=8).fit(data)
    with refuses("so give one of effect_weights"):
        NegGen(epochs=1).fit(data)


def test_reports_and_quality_go_by_a_run_that_holds_something_out(
    ready: Workspace, word_encoder
) -> None:
    run = train_run(ready, "neggen-linear", {}, SPLIT)
    made = refit_run(run, name="a-name-before-the-others")
    assert (run.holds_out, made.holds_out) == (True, False)
    runs = finished_runs(ready)
    assert runs[0].folder == made.folder
    report = gather(ready, runs, cards=1, users=3, seed=0)
    assert report.samples, "of what the run has not learned"
    assert measure_quality(ready, encoder=word_encoder)["run"] == run.folder.name
