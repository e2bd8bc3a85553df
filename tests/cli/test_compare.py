"""``neggen compare`` and ``neggen tune`` as they are typed, also when they are killed midway."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from neggen.cli.compare import _of_models
from neggen.training import rhythm
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli

STUDY = """
title = "A [small] shop"
seeds = 2
budget = 3
reference = "neggen"

[rows.ease]
model = "ease"
[rows.lightgcn]
model = "lightgcn"
settings = {epochs = 6, dim = 16, evaluate_every = 1}
[rows.lightgcn.search]
regularization = {low = 1e-4, high = 1e-1, log = true}
[rows.neggen]
model = "neggen"
base = "lightgcn"
settings = {epochs = 3, dim = 16, heads = 2, evaluate_every = 1}
[rows."placebo"]
model = "neggen"
same_search_as = "neggen"
negatives = "shuffled"

[sweeps.contrast]
row = "neggen"
values = [0, 1]
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(STUDY)
    return path


def trials(place: Workspace) -> list[tuple[Any, ...]]:
    """What is known of the finished trials, when they ended included."""
    path = place.path / "studies" / "small" / "trials.db"
    if not path.is_file():
        return []
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
            return file.execute(
                "SELECT trial_id, number, datetime_complete, state FROM trials"
            ).fetchall()
    except sqlite3.OperationalError:
        return []  # the file is just being made


def fits(place: Workspace) -> dict[str, int]:
    folder = place.path / "studies" / "cache" / "fits"
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}


def kill(process: subprocess.Popen[str], due: Callable[[], bool]) -> None:
    while process.poll() is None and not due():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "it was too quick to be killed"


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        measured = {"seconds", "evaluation_seconds", "epoch_seconds", "peak_mib"}
        return {key: without_seconds(inner) for key, inner in value.items() if key not in measured}
    return value


def test_a_killed_study_goes_on_and_ends_with_the_same_table(
    start: Callable[..., subprocess.Popen[str]],
    cli: Cli,
    ready: Workspace,
    study: Path,
    tmp_path: Path,
) -> None:
    untouched = Workspace(shutil.copytree(ready.path, tmp_path / "untouched"))
    typed = ["compare", ready.path, study, "--json"]

    kill(start(*typed), lambda: len(trials(ready)) >= 5)
    tried = trials(ready)
    assert 5 <= len(tried) < 9, "while LightGCN or NegGen is tuned"
    assert fits(ready) == {}
    kill(start(*typed), lambda: len(fits(ready)) >= 4)
    assert [trial for trial in trials(ready) if trial in tried] == tried
    assert len(trials(ready)) == 9, "three of each row, none of them begun twice"
    fitted = fits(ready)
    assert 4 <= len(fitted) < 12

    found = cli(*typed).json()
    assert fitted.items() <= fits(ready).items(), "finished fits are not fitted again"
    undisturbed = cli("compare", untouched.path, study, "--json").json()
    assert without_seconds(found) == without_seconds(undisturbed)
    folder = ready.path / "studies" / "small"
    assert json.loads((folder / "results.json").read_text()) == found
    written = ("results.csv", "per_user.parquet", "rows.png", "sweep-contrast.png")
    for name in written:
        other = untouched.path / "studies" / "small" / name
        assert (folder / name).read_bytes() == other.read_bytes()


def test_models_without_a_file(cli: Cli, ready: Workspace, tmp_path: Path) -> None:
    table = tmp_path / "tables" / "t.md"
    told = cli(
        "compare", ready.path, "--models", "popularity, ease", "--seeds", 2, "--budget", 2,
        "--metric", "recall@10", "--markdown", table,
    )  # fmt: skip
    assert told.code == 0, told.err
    assert "popularity, ease" in told.out
    assert "against 'ease'" in told.err
    assert "Every row had 2 trials" in told.err
    assert table.read_text().startswith("# popularity, ease\n")
    assert (
        table.read_text() == (ready.path / "studies" / "popularity-ease" / "results.md").read_text()
    )
    assert "| Recall@10 |" in table.read_text()


def test_a_row_that_ran_out_of_time_says_so_and_stays_as_it_is(cli: Cli, ready: Workspace) -> None:
    typed = ["compare", ready.path, "--models", "popularity,ease", "--seeds", 1, "--budget", 6]
    first = cli(*typed, "--minutes", 1e-6, "--json").json()
    assert first["minutes"] == 1e-6
    assert first["rows"]["ease"]["tuning"]["trials"] == 1
    assert cli(*typed, "--minutes", 1e-6, "--json").json() == first
    told = cli(*typed, "--minutes", 1e-6)
    assert "or as many as began within 1e-06 min of its tuning" in told.err
    page = (ready.path / "studies" / "popularity-ease" / "results.md").read_text()
    assert page.count("1 (out of time)") == 2, "in the table and among the costs"
    whole = cli(*typed, "--minutes", 0, "--json").json()["rows"]["ease"]["tuning"]
    assert (whole["trials"], whole["out_of_time"]) == (6, False)


def test_options_override_the_file(cli: Cli, ready: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "pop.toml"
    path.write_text("seeds = 9\n[rows.popularity]\nmodel = 'popularity'")
    told = cli("compare", ready.path, path, "--seeds", 1, "--name", "other", "--json").json()
    assert told["seeds"] == 1
    assert told["rows"]["popularity"]["metrics"].keys() >= {"recall@20", "coverage@20"}
    assert (ready.path / "studies" / "other" / "results.md").is_file()


def test_only_some_rows(cli: Cli, ready: Workspace, study: Path) -> None:
    typed = ["compare", ready.path, study, "--seeds", 1, "--budget", 0]
    found = cli(*typed, "--rows", "eas?", "--rows", "lightgcn", "--json").json()
    assert list(found["rows"]) == ["ease", "lightgcn", "neggen"], "no placebo"
    ended = cli(*typed, "--rows", "nothing")
    assert ended.code == 2
    assert "No row of the study is called 'nothing'" in ended.remark()


def test_tune_tells_what_to_train(cli: Cli, ready: Workspace) -> None:
    told = cli("tune", ready.path, "ease", "--trials", 12)
    assert told.code == 0, told.err
    assert "regularization" in told.out
    assert "after 12 trials" in told.out
    found = cli("tune", ready.path, "ease", "--trials", 12, "--json").json()
    assert found["trials"] == 12
    assert found["importance"] == {"regularization": 1.0}
    (value,) = found["params"].values()
    command = f"neggen train {ready.path} --model ease --set regularization={value}"
    assert command in told.remark()
    run = cli(*command.split()[1:], "--json").json()["run"]
    valid = cli("evaluate", run, "--on", "valid", "--json").json()["metrics"]["valid"]
    assert valid["ndcg@20"] == pytest.approx(found["value"])


def test_tune_tells_by_what_weights_were_chosen(cli: Cli, ready: Workspace) -> None:
    quick = ("--set", "dim=4", "--set", "epochs=2", "--trials", 1)
    told = cli("tune", ready.path, "mf", *quick)
    assert told.code == 0, told.err
    assert "--set metric=ndcg@20" in told.err
    found = cli("tune", ready.path, "mf", *quick, "--metric", "recall@10", "--json").json()
    assert found["params"] == {"metric": "recall@10"}
    short = cli("tune", ready.path, "mf", *quick, "--metric", "ndcg@5", "--json").json()
    assert short["params"] == {"metric": "ndcg@20"}, "what training can choose by"
    assert "metric" not in cli("tune", ready.path, "ease", "--trials", 1, "--json").json()["params"]


def test_tune_tells_by_what_the_weights_of_a_base_were_chosen(cli: Cli, ready: Workspace) -> None:
    small = ("dim=4", "epochs=1", "heads=2", "base.dim=4", "base.epochs=1")
    quick = [word for setting in small for word in ("--set", setting)]
    asked = ("tune", ready.path, "neggen", *quick, "--trials", 1)
    told = cli(*asked, "--metric", "recall@20")
    assert told.code == 0, told.err
    command = told.remark().partition("Next: neggen ")[2].split()
    assert {"metric=recall@20", "base.metric=recall@20"} < set(command)
    kept = cli(*asked, "--metric", "recall@20", "--set", "base.metric=ndcg@20").remark()
    assert kept.count("base.metric") == 1
    found = cli(*asked, "--json").json()
    assert found["params"] == {"metric": "ndcg@20", "base.metric": "ndcg@20"}


def test_models_without_vectors_need_no_encoding(cli: Cli, ready: Workspace) -> None:
    shutil.rmtree(ready.vectors_dir)
    told = cli("compare", ready.path, "--models", "popularity,ease", "--seeds", 1, "--json")
    assert told.code == 0, told.err
    assert set(told.json()["rows"]) == {"popularity", "ease"}
    fits = sorted((ready.studies_dir / "cache" / "fits").glob("*.json"))
    refused = cli("compare", ready.path, "--models", "popularity,content-ease", "--seeds", 2)
    assert refused.code == 2
    assert "run: neggen encode" in refused.remark()
    made = sorted((ready.studies_dir / "cache" / "fits").glob("*.json"))
    assert made == fits, "no fit before what is missing is told"


def test_tune_also_tunes_the_sampler_that_is_set(cli: Cli, ready: Workspace) -> None:
    kept = ("--set", "dim=4", "--set", "epochs=1", "--set", "learning_rate=0.01")
    sampler = ("--set", "sampler=dns", "--set", "sampler.top=1", "--set", "regularization=0")
    found = cli("tune", ready.path, "mf", *kept, *sampler, "--trials", 20, "--json")
    assert found.code == 0, found.err
    assert found.json()["trials"] == 6, "as it stands, and the five numbers of candidates"
    told = cli("tune", ready.path, "mf", *kept, *sampler, "--trials", 20)
    command = told.remark().partition("Next: neggen ")[2].split()
    run = cli(*command, "--json")
    assert run.code == 0, run.err
    valid = cli("evaluate", run.json()["run"], "--on", "valid", "--json").json()["metrics"]["valid"]
    assert valid["ndcg@20"] == pytest.approx(found.json()["value"])


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["compare", "W"], "Give one of a study file, --models and --ablate."),
        (["compare", "W", "x.toml", "--ablate"], "Give one of a study file"),
        (["compare", "W", "x.toml"], "The study x.toml cannot be used: x.toml does not exist."),
        (["compare", "W", "--models", "eas"], "There is no model 'eas'. Did you mean 'ease'?"),
        (["compare", "W", "--models", "ease", "--name", "../x"], "'../x' cannot be the name"),
        (["compare", "W", "--models", "ease", "--name", "cache"], "'cache' cannot be the name"),
        (["compare", "W", "--ablate", "--negatives", "dns"], "--negatives goes with --models"),
        (["compare", "W", "--models", "mf", "--negatives", "dnz"], "Did you mean 'dns'?"),
        (["tune", "W", "popularity"], "popularity has nothing to tune by itself, or all of"),
        (["tune", "W", "ease", "--metric", "auc"], "Study.metric = 'auc' is not allowed"),
    ],
)
def test_mistakes_are_one_sentence(
    cli: Cli, ready: Workspace, typed: list[str], sentence: str
) -> None:
    told = cli(*(ready.path if word == "W" else word for word in typed))
    assert told.code == 2
    assert sentence in told.remark()


def test_settings_of_the_model_beside_the_rows_own_keys(cli, ready: Workspace, tmp_path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(
        '[rows.gcn]\nmodel = "lightgcn"\nepochs = 20\nmetric = "ndcg@20"\nloss = {name = "bpr"}\n'
    )
    ended = cli("compare", ready.path, path)
    assert ended.code == 2
    told = 'settings = {epochs = 20, metric = "ndcg@20", loss = …}.'
    assert f"In rows.gcn: what is set of the model stands in a table of its own; write {told}" in (
        ended.remark()
    )
    path.write_text('[rows.gcn]\nmodel = "lightgcn"\nserch = {}\n')
    assert "Did you mean 'search'?" in cli("compare", ready.path, path).remark()


def test_figures_are_not_wrapped_on_a_narrow_terminal(
    cli, ready: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = cli("compare", ready.path, "--models", "popularity,content-ease,ease", "--seeds", 2)
    assert ended.code == 0, ended.err
    rows = [line for line in ended.out.splitlines() if "│" in line]
    assert len(rows) == 3
    assert all(row.count("±") == 2 for row in rows)


def test_neggen_starts_from_the_lightgcn_beside_it() -> None:
    rows = _of_models(["lightgcn", "neggen", "ease"], [])["rows"]
    assert rows["neggen"]["base"] == "lightgcn"
    rows = _of_models(["lightgcn", "neggen"], ["uniform", "dns"])["rows"]
    assert rows["neggen, dns"]["base"] == "lightgcn, dns"
    assert "base" not in rows["lightgcn, dns"]
    assert "base" not in _of_models(["mf", "neggen"], [])["rows"]["neggen"]


def test_every_model_with_every_sampler(
    cli: Cli, ready: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rhythm, "STEPS_TO_VALIDATION", 1)  # so that patience ends sooner
    typed = ["compare", ready.path, "--models", "ease,mf", "--negatives", "uniform, popularity"]
    found = cli(*typed, "--seeds", 1, "--json").json()
    assert list(found["rows"]) == ["ease", "mf, uniform", "mf, popularity"]
    settings = {name: row["settings"].get("sampler") for name, row in found["rows"].items()}
    assert settings["mf, popularity"]["name"] == "popularity"
    assert found["rows"]["mf, popularity"]["against"]["row"] == "mf, uniform"
    assert (ready.path / "studies" / "ease-mf-by-uniform-popularity" / "results.md").is_file()
