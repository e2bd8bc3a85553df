"""A folder for the Hub that loads again, its card, and the way there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import neggen
from neggen.runs import Run, evaluate_run
from neggen.serving.export import export_run, push
from neggen.testing import refuses


@pytest.mark.parametrize("name", ["ease", "neggen"])
def test_an_exported_folder_loads_again(name: str, trained, tmp_path: Path) -> None:
    run = trained(name)
    figures = export_run(run, tmp_path, ["hub"])
    again, model = neggen.load(tmp_path / "hub"), run.load_model()
    assert type(again) is type(model)
    users = torch.arange(len(model.user_ids))
    assert torch.equal(again.score_index(users), model.score_index(users))
    assert figures["hub"] == {"checked users": len(users)}
    suffixes = {path.suffix for path in (tmp_path / "hub").iterdir()}
    assert suffixes == {".md", ".parquet", ".safetensors", ".toml"}


def test_loading_names_what_is_wrong(tmp_path: Path) -> None:
    with refuses(str(tmp_path), "no config.toml"):
        neggen.load(tmp_path)
    (tmp_path / "config.toml").write_text("[settings]\n")
    with refuses("does not say which model"):
        neggen.load(tmp_path)
    (tmp_path / "config.toml").write_text("model = 'lightgnc'\n")
    with refuses("'lightgnc'", "'lightgcn'"):
        neggen.load(tmp_path)


def card(folder: Path) -> tuple[dict, str]:
    start, front_matter, text = (folder / "README.md").read_text().split("---\n", 2)
    assert start == ""
    return yaml.safe_load(front_matter), text


def test_the_card_tells_figures_with_their_protocol(trained, tmp_path: Path) -> None:
    run = trained("neggen-linear")
    unmeasured = export_run(run, tmp_path / "before", ["hub"])
    assert unmeasured
    data, text = card(tmp_path / "before" / "hub")
    assert "model-index" not in data
    assert "license" not in data
    assert "It was not measured" in text
    assert "all rights are reserved" in text
    metrics = evaluate_run(run)["test"]
    export_run(run, tmp_path, ["hub"], license="cc-by-nc-4.0")
    data, text = card(tmp_path / "hub")
    assert data["library_name"] == "neggen"
    assert data["license"] == "cc-by-nc-4.0"
    assert {"neggen-linear", "recommender-systems", "arxiv:2501.15183"} <= set(data["tags"])
    (index,) = data["model-index"]
    (result,) = index["results"]
    assert result["dataset"]["revision"] == run.manifest["content_hash"]
    assert result["dataset"]["split"] == "test"
    told = {each["type"]: each["value"] for each in result["metrics"]}
    assert told["ndcg@20"] == pytest.approx(metrics["ndcg@20"], abs=1e-6)
    assert f"| test | {metrics['recall@10']:.4f} | {metrics['recall@20']:.4f} |" in text
    assert "split `random`, seed 0" in text
    assert run.manifest["content_hash"] in text
    assert "content_weight = " in text
    assert str(run.folder.parents[2]) not in text


def pushed(run: Run, hub, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Push from the command line, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    # The other protocol, Xet, needs a store that nobody can stand in for.
    kept |= {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    kept["PYTHONPATH"] = str(Path(neggen.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "neggen.cli", "push", str(run.folder), "--repo", "shop", *options],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def online(hub, monkeypatch: pytest.MonkeyPatch):
    """The client in this process may use the network, of which the stand-in is all it is told."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", "hf_not_to_be_told")
    return hub


def test_push_uploads_a_model_that_loads(trained, hub, tmp_path: Path) -> None:
    run = trained("ease")
    done = pushed(run, hub, "--license", "mit", "--json", HF_TOKEN="hf_not_to_be_told")
    assert done.returncode == 0, done.stderr
    assert f"{hub.url}/me/shop" in done.stdout
    assert hub.created[0]["name"] == "shop"
    assert hub.created[0]["visibility"] == "private"
    assert hub.objects  # safetensors and Parquet go to the store of large files
    for name, content in hub.files.items():
        (tmp_path / name).write_bytes(content)
    users = torch.arange(5)
    again = neggen.load(tmp_path)
    assert torch.equal(again.score_index(users), run.load_model().score_index(users))
    data, text = card(tmp_path)
    assert data["license"] == "mit"
    assert 'snapshot_download("me/shop")' in text


def test_push_needs_a_token_from_the_environment(
    trained, online, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with refuses("HF_TOKEN"):
        push(trained("ease"), "shop")
    assert online.created == []


def test_a_refusal_is_told_without_the_token(
    trained, online, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(neggen.NegGenError, match=r"Invalid credentials of \[token\]") as refused:
        push(trained("ease"), "shop")
    assert "shop cannot be pushed" in str(refused.value)
    assert "hf_another" not in str(refused.value)


def test_a_public_repository_is_not_filled_by_mistake(trained, online) -> None:
    online.public = True
    with refuses("me/shop is public", "--public"):
        push(trained("ease"), "shop")
    assert online.files == {}
    assert push(trained("ease"), "shop", public=True) == f"{online.url}/me/shop"
    assert online.created[-1]["visibility"] == "public"
    assert "model.safetensors" in online.files


def test_a_model_that_cannot_be_read_leaves_no_repository(trained, online, tmp_path: Path) -> None:
    run = Run(shutil.copytree(trained("ease").folder, tmp_path / "w" / "runs" / "ease"))
    (run.model_dir / "model.safetensors").write_bytes(b"")
    with refuses("model.safetensors", "damaged"):
        push(run, "shop")
    assert online.created == []


def test_a_lost_upload_is_one_sentence(trained, online) -> None:
    online.full = True
    with refuses("shop cannot be pushed", "507"):
        push(trained("ease"), "shop")
    assert online.files == {}


def test_a_hub_that_is_not_there_is_one_sentence(
    trained, online, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with refuses("cannot be pushed to http://127.0.0.1:9"):
        push(trained("ease"), "shop")
