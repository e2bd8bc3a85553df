"""What a user gets wrong ends in one sentence: what, where, and how to mend it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from neggen.cli.output import epochs
from neggen.config import SplitConfig
from neggen.data.shop import make_shop
from neggen.runs import train_run
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Cli, Ended


@pytest.fixture(scope="module")
def places(described: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders in all states: ``w`` encoded with the run ``run``, ``half`` an unfinished run, …"""
    folder = tmp_path_factory.mktemp("places")
    place = Workspace.open(shutil.copytree(described, folder / "w"))
    run = train_run(place, "popularity", {}, SplitConfig())

    def stop(phase: str, log: object) -> None:
        if log.epoch == 2:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    settings = {"dim": 4, "checkpoint_seconds": 0.0}
    with pytest.raises(KeyboardInterrupt):
        train_run(place, "lightgcn", settings, SplitConfig(), name="half", on_epoch=stop)
    leave_out = shutil.ignore_patterns("negatives.parquet", "vectors", "runs")
    shutil.copytree(place.path, folder / "imported", ignore=leave_out)
    leave_out = shutil.ignore_patterns("vectors", "runs")
    shutil.copytree(place.path, folder / "generated", ignore=leave_out)
    (folder / "source").mkdir()
    shop = make_shop(60, 60)
    shop.items.drop("image").write_csv(folder / "source" / "items.csv")
    shop.interactions.write_csv(folder / "source" / "interactions.csv")
    (folder / "typo.toml").write_text('modle = "ease"\n', encoding="utf-8")
    (folder / "broken.toml").write_text("model = ease\n", encoding="utf-8")
    (folder / "negative.toml").write_text("seed = -1\n", encoding="utf-8")
    (folder / "empty.jsonl").write_text("", encoding="utf-8")
    (folder / "file").write_text("", encoding="utf-8")
    names = ("w", "imported", "generated", "typo.toml", "broken.toml", "negative.toml")
    names = (*names, "file", "none", "source")
    return {
        **{Path(name).stem: str(folder / name) for name in names},
        "run": str(run.folder),
        "half": str(place.runs_dir / "half"),
        "answers": str(folder / "empty.jsonl"),
    }


LIGHTGCN = "train {w} --model lightgcn"
MISTAKES = {
    # what is not there
    "no workspace": ("train {none}", "{none} is not a workspace", "neggen import SOURCE {none}"),
    "generate first": ("generate {none}", "{none} is not a workspace", "neggen import SOURCE"),
    "a file as workspace": ("encode {file}", "{file} is not a workspace", "neggen import"),
    "import into a file": ("import {source} {file}", "{file}"),
    "no source": ("import {none} {none}-w", "no file or folder {none}"),
    "encode first": ("encode {imported}", "negatives.parquet", "neggen generate {imported}"),
    "train before generate": ("train {imported}", "negatives.parquet", "neggen generate"),
    "train before encode": (
        "train {generated}",
        "{generated} has no vectors yet",
        "neggen encode {generated}",
    ),
    "no run": ("evaluate {w}/runs/none", "{w}/runs/none is not a run", "train"),
    "a workspace as run": ("evaluate {w}", "{w} is a workspace; its runs are", "{run}"),
    "a workspace without runs": ("recommend {imported} -u u", "is not a run", "train one first"),
    "unfinished run": ("evaluate {half}", "{half} was interrupted", "same command again"),
    "no recipe": ("train {w} --config {none}", "{none} does not exist"),
    "no answers": ("generate {w} --answers {none}", "{none}"),
    # names that nobody knows
    "model": ("train {w} --model lightgcm", "no model 'lightgcm'", "Did you mean 'lightgcn'?"),
    "setting": (LIGHTGCN + " --set layer=2", "'layer'", "Did you mean 'layers'?"),
    "inner setting": ("train {w} --set base.layer=2", "'base.layer'", "Did you mean 'layers'?"),
    "metric": (LIGHTGCN + " --set metric=recal@20", "'recal@20'", "Did you mean 'recall@20'?"),
    "user": ("recommend {run} -u u0001", "no user 'u0001'", "Did you mean 'u000"),
    "part": ("evaluate {run} --on testing", "no part 'testing'", "Did you mean 'test'?"),
    "split": ("train {w} --split tme", "--split", "'tme' is not one of", "'time'"),
    "modality": ("generate {w} --modality pictures", "'pictures'"),
    "recipe key": ("train {w} --config {typo}", "{typo}", "'modle'", "Did you mean 'model'?"),
    "column": ("import {source} {none} --user-column user", "'user'", "Did you mean 'user_id'?"),
    "picture column": ("import {source} {none} --image-column img", "'img'", "title"),
    # values out of range
    "syntax": (LIGHTGCN + " --set layers", "'layers'", "key=value, such as alpha=0.01"),
    "contradiction": ("train {w} --set base=1 --set base.dim=2", "'base.dim=2'", "'base'"),
    "kind of value": (LIGHTGCN + " --set layers=many", "LightGCNConfig.layers = 'many'", "integer"),
    "heads": ("train {w} --set heads=7", "heads = 7", "multiple of heads"),
    "k": ("recommend {run} -u u00001 -k 0", "-k", "greater than or equal to 1|x>=1"),
    "seed": (LIGHTGCN + " --seed=-1", "--seed"),
    "split seed": (LIGHTGCN + " --split-seed=-1", "--split-seed"),
    "generator seed": ("generate {w} --seed=-1", "--seed"),
    "recipe value": ("train {w} --config {negative}", "{negative}", "seed = -1"),
    "recipe syntax": ("train {w} --config {broken}", "{broken} is not valid TOML", "line 1"),
    "concurrency": ("generate {w} --concurrency 0", "--concurrency"),
    "demo too small": ("demo {none} --items 40", "--items", "56"),
    "run name": ("train {w} --model ease --name ../x", "'../x'", "letters, digits"),
    "train device": ("train {w} --device gpu", "--device", "'gpu' cannot be used"),
    "encode device": ("encode {w} --device gpu", "--device", "'gpu' cannot be used"),
    "evaluate device": ("evaluate {run} --device cuda:99", "--device", "'cuda:99' cannot be used"),
    "split without labels": ("train {w} --split given", "'part'", "split 'random'"),
    # options that contradict each other
    "two generators": ("generate {w} --answers {answers} --model m", "--answers", "only one of"),
    "no model": ("generate {w} --base-url http://localhost/v1", "--base-url needs --model"),
    "address": ("generate {w} --base-url localhost --model m", "'localhost'", "http://"),
}


@pytest.mark.parametrize(
    ("typed", "parts"), [(m[0], m[1:]) for m in MISTAKES.values()], ids=MISTAKES
)
def test_a_mistake_ends_in_one_sentence(
    cli: Cli, places: dict[str, str], typed: str, parts: tuple[str, ...]
) -> None:
    ended = cli(*(word.format(**places) for word in typed.split()))
    assert_one_sentence(ended)
    for part in parts:
        expected = part.format(**places)
        assert any(option in ended.remark() for option in expected.split("|")), ended.err
    assert not Path(places["none"]).exists()


def assert_one_sentence(ended: Ended) -> None:
    assert ended.code == 2, ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert len(re.findall(r"Error\b:?", ended.remark())) >= 1
    if "Usage:" not in ended.err:
        lines = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1
        assert ended.err.endswith(lines[0] + "\n")


def test_an_unreachable_server_keeps_the_answers(cli: Cli, places: dict[str, str]) -> None:
    url = "http://127.0.0.1:9/v1"
    ended = cli("generate", places["imported"], "--base-url", url, "--model", "m")
    assert_one_sentence(ended)
    assert f"{url} cannot be reached" in ended.remark()
    assert "run the same command again" in ended.remark()


def test_a_name_holds_one_run(cli: Cli, places: dict[str, str]) -> None:
    typed = ["train", places["w"], "--model", "ease", "--name", "mine"]
    assert cli(*typed).code == 0
    assert cli(*typed).code == 0
    ended = cli(*typed, "--set", "regularization=5")
    assert_one_sentence(ended)
    assert f"{places['w']}/runs/mine holds a run with other settings" in ended.remark()
    assert "--name" in ended.remark()


def test_an_unfinished_run_is_not_mixed_with_another(cli: Cli, places: dict[str, str]) -> None:
    ended = cli("train", places["w"], "--model", "lightgcn", "--set", "dim=8", "--name", "half")
    assert_one_sentence(ended)
    assert "half/checkpoints/lightgcn.safetensors belongs to a run" in ended.remark()


def test_the_process_itself_ends_so(finish: Cli, tmp_path: Path) -> None:
    ended = finish("train", tmp_path)
    assert_one_sentence(ended)
    assert f"{tmp_path} is not a workspace" in ended.err


def test_no_epochs_leave_standard_error_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with epochs():
        pass
    assert capsys.readouterr().err == ""


def test_a_generation_without_one_valid_record_says_so_and_costs_no_earlier_record(
    cli, ready: Workspace, tmp_path: Path
) -> None:
    before = ready.records_path.read_bytes()
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    ended = cli("generate", ready.path, "--answers", empty)
    assert ended.code == 2
    assert "gave no valid record" in ended.err
    assert ready.records_path.read_bytes() == before
