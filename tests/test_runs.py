"""Runs: what is trained once stays, what is wrong is refused, what is measured is kept."""

from __future__ import annotations

import json
import math
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neggen.cli.recommending import load_new_items
from neggen.config import EASEConfig, LightGCNConfig, ModelConfig, SplitConfig, SplitKind
from neggen.data.dataset import Dataset
from neggen.data.shop import make_shop
from neggen.data.store import load_dataset, save_dataset
from neggen.data.vectors import ItemGraph
from neggen.encoding.store import encode
from neggen.errors import NegGenError
from neggen.generation.record_files import read_records
from neggen.models.measuring import measure
from neggen.run_folder import trained_alone
from neggen.run_names import run_name, usual_name
from neggen.runs import Run, evaluate_run, finished_runs, train_run
from neggen.testing import checkerboard, refuses
from neggen.training.loop import EpochLog
from neggen.workspace import Workspace, write_toml

SPLIT = SplitConfig()
FEW = {"epochs": 4, "dim": 8, "evaluate_every": 1}
NEGGEN = {**FEW, "heads": 2, "base": FEW}


def test_a_run_holds_what_it_promises(ready: Workspace) -> None:
    run = train_run(ready, "lightgcn", FEW, SPLIT)
    assert {path.name for path in run.folder.iterdir()} == {"run.toml", "model", "history.json"}
    assert {path.suffix for path in run.model_dir.iterdir()} == {
        ".toml",
        ".safetensors",
        ".parquet",
    }
    manifest = run.manifest
    assert manifest["settings"]["dim"] == 8
    assert manifest["split"]["kind"] == "random"
    assert manifest["content_hash"] == run.load_data().content_hash
    (logs,) = run.history.values()
    assert [log["epoch"] for log in logs] == [0, 1, 2, 3, 4]
    recall = [log["valid"]["recall@20"] for log in logs]
    assert run.best_validation["recall@20"] == max(recall)
    assert run.metrics == {}
    assert run.workspace.path == ready.path.resolve()
    assert Run.open(run.folder).load_model().recommend(["u00001"], 3).height == 3


def test_given_graphs_do_in_place_of_descriptions(tmp_path: Path) -> None:
    bare = checkerboard().replace(records=None, vectors=None)
    near = np.arange(40)[:, None] + [0, 2] & 38  # [items, 2]
    graph = ItemGraph(near.astype(np.int32), np.ones((40, 2), np.float32))
    for name, data in (("tied", bare.replace(graphs={"image": graph})), ("bare", bare)):
        save_dataset(Workspace(tmp_path / name), data, source="here")
    settings = {"epochs": 1, "dim": 8, "neighbors": 2}
    run = train_run(Workspace(tmp_path / "tied"), "freedom", settings, SPLIT)
    assert "vectors_hash" not in run.manifest
    assert run.load_model().recommend(["user-00"], 3).height == 3
    with refuses("negatives.parquet does not exist"):
        train_run(Workspace(tmp_path / "bare"), "freedom", settings, SPLIT)


def test_a_finished_run_is_returned_whatever_does_not_decide_the_result(ready: Workspace) -> None:
    first = train_run(ready, "neggen", NEGGEN, SPLIT)
    epochs: list[str] = []
    settings = {**NEGGEN, "checkpoint_seconds": 1, "base": {**FEW, "checkpoint_seconds": 2}}
    again = train_run(
        ready, "neggen", settings, SPLIT, on_epoch=lambda phase, log: epochs.append(phase)
    )
    assert again.folder == first.folder
    assert epochs == []


def test_neggen_validates_no_worse_than_its_base(ready: Workspace) -> None:
    phases: list[str] = []
    run = train_run(
        ready, "neggen", NEGGEN, SPLIT, on_epoch=lambda phase, log: phases.append(phase)
    )
    assert phases == ["lightgcn"] * 5 + ["neggen"] * 5
    (base,) = (found for found in finished_runs(ready) if found.manifest["model"] == "lightgcn")
    assert run.best_validation["ndcg@20"] >= base.best_validation["ndcg@20"]
    assert (
        base.manifest["settings"] == train_run(ready, "lightgcn", FEW, SPLIT).manifest["settings"]
    )


@pytest.mark.parametrize(
    ("backbone", "base"),
    [("mf", FEW), ("ease", {"regularization": 50.0}), ("lightgcn-content", FEW)],
)
def test_neggen_stands_on_a_run_of_its_backbone(ready: Workspace, backbone: str, base) -> None:
    settings = {**FEW, "heads": 2, "backbone": backbone, "base": base}
    run = train_run(ready, "neggen", settings, SPLIT)
    (of_base,) = (found for found in finished_runs(ready) if found.folder != run.folder)
    assert of_base.folder == train_run(ready, backbone, base, SPLIT).folder
    assert of_base.manifest["model"] == backbone
    model, users = run.load_model(), ["u00001", "u00002"]
    assert model.backbone.score(users).equals(of_base.load_model().score(users))
    assert run.manifest["settings"]["base"] == base
    figures = evaluate_run(of_base, ["valid"])["valid"], evaluate_run(run, ["valid"])["valid"]
    assert figures[1]["ndcg@20"] >= figures[0]["ndcg@20"]
    shares = run.manifest["modality_shares"]
    assert set(shares) - {"catalog"} == {"text"}
    assert all(-1 < share < 1 for share in shares.values())


def test_a_wrong_setting_of_the_backbone_trains_nothing(ready: Workspace) -> None:
    with pytest.raises(NegGenError, match=r"'base.layerz' is not a setting .* mean 'layers'"):
        train_run(ready, "neggen", {**NEGGEN, "base": {"layerz": 2}}, SPLIT)
    assert finished_runs(ready) == []


def test_models_without_epochs(ready: Workspace) -> None:
    for model in ("popularity", "ease"):
        run = train_run(ready, model, {}, SPLIT)
        assert (run.history, run.best_validation) == ({}, {})


@pytest.mark.parametrize(
    "name", ["../x", "a/b", ".", "..", ".hidden", "-x", "/tmp/x", "a b", "ä\n"]
)
def test_a_name_stays_in_the_folder_of_runs(ready: Workspace, name: str) -> None:
    with pytest.raises(NegGenError, match=re.escape(f"{name!r} cannot be the name of a run")):
        train_run(ready, "popularity", {}, SPLIT, name=name)
    assert not ready.runs_dir.exists()


@pytest.mark.parametrize(
    ("model", "settings", "split"),
    [
        ("ease", {"regularization": 5.0}, SPLIT),
        ("ease", {"seed": 1}, SPLIT),
        ("ease", {}, SplitConfig(seed=1)),
        ("popularity", {}, SPLIT),
    ],
)
def test_a_name_holds_one_run(ready: Workspace, model: str, settings, split: SplitConfig) -> None:
    train_run(ready, "ease", {}, SPLIT, name="mine")
    with pytest.raises(NegGenError, match=r"runs/mine holds a run with other settings.* --name"):
        train_run(ready, model, settings, split, name="mine")


def test_an_interrupted_run_is_none_until_it_goes_on(ready: Workspace) -> None:
    def interrupt(phase: str, log: object) -> None:
        if log.epoch == 2:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    settings = {**FEW, "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        train_run(ready, "lightgcn", settings, SPLIT, on_epoch=interrupt)
    assert finished_runs(ready) == []
    (folder,) = ready.runs_dir.iterdir()
    with pytest.raises(NegGenError, match="same command again"):
        Run.open(folder)
    epochs: list[int] = []
    run = train_run(
        ready, "lightgcn", settings, SPLIT, on_epoch=lambda phase, log: epochs.append(log.epoch)
    )
    assert epochs == [2, 3, 4]
    assert [found.folder for found in finished_runs(ready)] == [run.folder]


def test_one_process_at_a_time_trains_a_run(ready: Workspace) -> None:
    told: list[str] = []

    def train_it_too(phase: str, log: EpochLog) -> None:
        with ThreadPoolExecutor(1) as other:
            failed = other.submit(train_run, ready, "lightgcn", FEW, SPLIT).exception()
        assert isinstance(failed, NegGenError)
        told.append(str(failed))

    run = train_run(ready, "lightgcn", FEW, SPLIT, on_epoch=train_it_too)
    assert len(told) == 5
    assert f"{run.folder} is being trained by another process; give the same command" in told[0]
    assert list(ready.runs_dir.iterdir()) == [run.folder]
    # Who waits for no training takes no lock; and a model on top of a run trains beside it.
    with trained_alone(run, ready), ThreadPoolExecutor(1) as other:
        again = other.submit(train_run, ready, "lightgcn", FEW, SPLIT).result()
        assert again.folder == run.folder
        assert other.submit(train_run, ready, "neggen", NEGGEN, SPLIT).result().load_model()


def test_a_setting_that_is_none_is_known_again(
    ready: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identity(config: EASEConfig) -> dict[str, object]:
        return {**ModelConfig.identity(config), "limit": None, "within": {"limit": None}}

    monkeypatch.setattr(EASEConfig, "identity", identity)
    run = train_run(ready, "ease", {}, SPLIT, name="mine")
    assert train_run(ready, "ease", {}, SPLIT, name="mine").folder == run.folder


def test_other_data_or_vectors_under_an_old_run_are_refused(ready: Workspace) -> None:
    base = train_run(ready, "lightgcn", FEW, SPLIT)
    run = train_run(ready, "neggen", NEGGEN, SPLIT)
    records = read_records(ready.records_path)
    records.filter(pl.col("item_id") != records["item_id"][0]).write_parquet(ready.records_path)
    with pytest.raises(NegGenError, match="holds a run with other settings or data"):
        train_run(ready, "neggen", NEGGEN, SPLIT)

    shop = make_shop(60, 60, seed=1)
    other = Dataset.from_frames(shop.interactions, shop.items.drop("image"))
    save_dataset(ready, other, source="elsewhere", overwrite=True)
    with pytest.raises(NegGenError, match=r"trained on other data than .* train again"):
        run.load_data()
    with pytest.raises(NegGenError, match=r"holds a run with other .* data, .* --overwrite"):
        train_run(ready, "lightgcn", FEW, SPLIT)
    assert base.load_model().recommend(["u00001"], 1).height == 1


def test_a_run_is_replaced_when_its_successor_is_trained(ready: Workspace) -> None:
    base, run = (train_run(ready, *what, SPLIT) for what in (("lightgcn", FEW), ("neggen", NEGGEN)))
    evaluate_run(run)
    records = read_records(ready.records_path)
    records.filter(pl.col("item_id") != records["item_id"][0]).write_parquet(ready.records_path)

    def interrupt(phase: str, log: EpochLog) -> None:
        assert phase != "lightgcn", "its data are the same"
        if log.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(ready, "neggen", NEGGEN, SPLIT, overwrite=True, on_epoch=interrupt)
    before = run.manifest
    assert run.metrics
    assert run.load_model().recommend(["u00001"], 1).height == 1
    train_run(ready, "neggen", NEGGEN, SPLIT, overwrite=True)
    assert run.manifest["vectors_hash"] != before["vectors_hash"]
    assert run.metrics == {}
    assert not (run.folder / "per_user").exists()
    run.load_model()

    with pytest.raises(KeyboardInterrupt):
        train_run(
            ready, "neggen", {**NEGGEN, "tau": 0.5}, SPLIT, name=run.folder.name, overwrite=True,
            on_epoch=interrupt,
        )  # fmt: skip
    once_more = {**NEGGEN, "tau": 0.7}
    train_run(ready, "neggen", once_more, SPLIT, name=run.folder.name, overwrite=True)
    assert run.manifest["settings"]["tau"] == 0.7, "what was interrupted does not stand in the way"

    shop = make_shop(60, 60, seed=1)
    other = Dataset.from_frames(shop.interactions, shop.items.drop("image"))
    save_dataset(ready, other, source="elsewhere", overwrite=True)
    assert train_run(ready, "lightgcn", FEW, SPLIT, overwrite=True).folder == base.folder
    evaluate_run(base)


def test_what_is_not_there(ready: Workspace, tmp_path) -> None:
    with pytest.raises(NegGenError, match=r"no model 'eas'.* Did you mean 'ease'"):
        train_run(ready, "eas", {}, SPLIT)
    with pytest.raises(NegGenError, match="'dims' is not a setting of LightGCNConfig"):
        train_run(ready, "lightgcn", {"dims": 1}, SPLIT)
    with pytest.raises(NegGenError, match="is not a run"):
        Run.open(tmp_path)
    ready.records_path.unlink()
    with pytest.raises(NegGenError, match="neggen generate"):
        train_run(ready, "neggen", NEGGEN, SPLIT)
    run = train_run(ready, "popularity", {}, SPLIT)
    run.history_path.write_text("{", encoding="utf-8")
    with pytest.raises(NegGenError, match=r"history\.json cannot be read"):
        _ = run.history


@pytest.mark.parametrize("lacking", ["model", "settings", "split", "content_hash"])
def test_a_run_without_what_it_says_of_itself(ready: Workspace, lacking: str) -> None:
    run = train_run(ready, "popularity", {}, SPLIT)
    whole = run.manifest
    write_toml(run.manifest_path, {key: v for key, v in whole.items() if key != lacking})
    for use in (run.load_model, run.load_data, lambda: evaluate_run(run)):
        with refuses(f"{run.manifest_path} is damaged: it has no '{lacking}'"):
            use()
    write_toml(run.manifest_path, whole)
    assert run.load_model().recommend(["u00001"], 3).height == 3


def test_a_workspace_without_what_it_says_of_itself(ready: Workspace) -> None:
    whole = ready.manifest()
    write_toml(ready.manifest_path, {key: v for key, v in whole.items() if key != "notes"})
    with refuses("workspace.toml is damaged: it has no 'notes'"):
        load_dataset(ready, SPLIT)


@pytest.mark.parametrize("damaged", ["[]", "{", "3", ""])
def test_damaged_figures_are_measured_anew(ready: Workspace, damaged: str) -> None:
    run = train_run(ready, "popularity", {}, SPLIT)
    expected = evaluate_run(run, ["valid"])
    run.metrics_path.write_text(damaged, encoding="utf-8")
    with refuses("metrics.json cannot be read", "evaluate again"):
        _ = run.metrics
    assert evaluate_run(run, ["valid"]) == expected
    assert run.metrics == expected


def test_new_items_are_encoded_as_those_the_run_was_trained_on(
    ready: Workspace, tmp_path: Path, word_encoder
) -> None:
    def encode_by(encoder: object, workspace: Workspace) -> None:
        records = read_records(workspace.records_path)
        encode(workspace, load_dataset(workspace), records, encoder)

    class Other(type(word_encoder)):
        name, fingerprint = "others", "o" * 64

    later = Workspace.open(shutil.copytree(ready.path, tmp_path / "later"))
    run = train_run(ready, "neggen-linear", {}, SPLIT)
    assert run.manifest["encoder"] == word_encoder.fingerprint
    encode_by(Other(), ready)  # the run stays as it was trained
    assert load_new_items(run, later).vectors is not None
    encode_by(Other(), later)
    with refuses("is encoded by another text encoder than", str(run.folder), "neggen encode"):
        load_new_items(run, later)


def test_figures_are_kept_by_part_and_user(build_workspace, tmp_path) -> None:
    shop = make_shop(60, 40, interactions_per_user=10)
    items = shop.items.drop("image")
    data = Dataset.from_frames(shop.interactions, items)
    user = {name: index for index, name in enumerate(data.user_ids)}
    item = {name: index for index, name in enumerate(data.item_ids)}
    pairs = np.array([(user[u], item[i]) for u, i in shop.shifted.iter_rows()], dtype=np.int32)
    place = build_workspace(
        tmp_path / "w", items, shop.interactions, None, test_sets={"shifted": pairs}
    )
    run = train_run(place, "ease", {}, SPLIT)
    assert list(evaluate_run(run, ["valid"])) == ["valid"]
    assert list(evaluate_run(run)) == ["test", "shifted"]
    assert list(Run.open(run.folder).metrics) == ["valid", "test", "shifted"]

    data = run.load_data()
    scores = run.load_model().score(list(data.user_ids)).drop("item_id").to_numpy()
    for part in ("valid", "test", "shifted"):
        seen = data.everything if part == "shifted" else data.train
        expected = recall_of(scores, seen, data.matrix(part), k=20)
        assert run.metrics[part]["recall@20"] == pytest.approx(expected, abs=1e-6)
        users = pl.read_parquet(run.folder / "per_user" / f"{part}.parquet")
        assert users["recall@20"].mean() == pytest.approx(expected, abs=1e-6)
        assert set(users["user_id"]) <= set(data.user_ids)
        ranked = measure(run.load_model(), data, part)
        tail = {f"tail/{name}": value for name, value in ranked.slices["tail"].items()}
        assert tail.items() <= run.metrics[part].items()
        assert {**ranked.result.metrics, **ranked.beyond}.items() <= run.metrics[part].items()
    with pytest.raises(NegGenError, match=r"no part 'shift'.* Did you mean 'shifted'"):
        evaluate_run(run, ["shift"])
    with pytest.raises(NegGenError, match="part 'train' cannot be measured"):
        evaluate_run(run, ["train"])


def recall_of(scores, seen, target, k: int) -> float:
    """Recall@k, one user at a time, of scores ``[items, users]``."""
    recalls = []
    for user in range(target.shape[0]):
        wanted = set(target[user].indices)
        known = set(seen[user].indices)
        ranked = sorted((-scores[i, user], i) for i in range(len(scores)) if i not in known)
        best = {i for _, i in ranked[:k]}
        if wanted:
            recalls.append(len(wanted & best) / len(wanted))
    return math.fsum(recalls) / len(recalls)


def test_a_part_without_interactions_is_named(ready: Workspace) -> None:
    run = train_run(ready, "popularity", {}, SPLIT)
    name = ready.splits_dir / f"{SPLIT.name}.parquet"
    labels = pl.read_parquet(name)
    kind = labels.schema["part"]
    only = labels.with_columns(part=pl.lit("train").cast(kind))
    only.write_parquet(name)
    with pytest.raises(NegGenError, match="part 'test' has no interactions"):
        evaluate_run(run)
    assert load_dataset(ready, SPLIT).test.nnz == 0


@given(
    model=st.sampled_from(["lightgcn", "ease"]),
    seed=st.integers(0, 3),
    split=st.builds(
        SplitConfig,
        kind=st.sampled_from(get_args(SplitKind)),
        seed=st.integers(0, 3),
    ),
    changed=st.booleans(),
)
def test_the_name_follows_from_the_manifest(
    model: str, seed: int, split: SplitConfig, changed: bool
) -> None:
    config = {
        "lightgcn": LightGCNConfig(seed=seed, layers=2 if changed else 3),
        "ease": EASEConfig(seed=seed, regularization=5 if changed else 200),
    }[model]
    name = run_name(model, config, split)
    manifest = {"model": model, "settings": config.identity(), "split": split.model_dump()}
    assert usual_name(json.loads(json.dumps(manifest))) == name
    assert name.startswith(f"{model}-{split.kind}")
    other = config.updated(seed=seed + 1)
    assert run_name(model, other, split) != name
    usual = type(config)(seed=seed)
    assert (run_name(model, usual, split) == name) == (not changed)
