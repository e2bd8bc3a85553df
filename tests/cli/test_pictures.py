"""Pictures encoded on the way from a catalogue to a model that learns from their features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from neggen.encoding.pictures import with_pictures
from neggen.models.features import item_features
from neggen.runs import Run, with_vectors

Cli = Callable[..., Any]


def test_a_model_learns_from_pictures(
    cli: Cli, source: Path, picture_models: dict[str, str], tmp_path: Path
) -> None:
    place = tmp_path / "w"
    cli("import", source, place, "--json").json()
    cli("generate", place, "--json").json()
    refused = cli("encode", place, "--pictures", tmp_path / "nothing")
    assert refused.code == 2
    assert "cannot be loaded" in refused.remark()
    told = cli("encode", place, "--pictures", picture_models["clip"], "--json").json()
    assert told["pictures"]["dim"] == 24
    assert told["pictures"]["encoded"] == told["pictures"]["pictures"] > 1
    again = cli("encode", place, "--pictures", picture_models["clip"], "--json").json()
    assert again["pictures"]["encoded"] == again["encoded"] == 0
    typed = ["train", place, "--model", "vbpr", "--set", "epochs=1"]
    assert cli(*typed, "--name", "plain").code == 0
    plain = Run.open(place / "runs" / "plain")
    trained = cli(*typed, "--set", "pictures=true", "--name", "seeing")
    assert trained.code == 0, trained.err
    run = Run.open(place / "runs" / "seeing")
    assert "pictures_hash" in run.manifest
    assert "pictures_hash" not in plain.manifest
    data, _ = with_pictures(run.workspace, with_vectors(run.workspace, run.load_data()))
    learned_from = item_features(data, run.load_model().config)
    assert learned_from["text"].values.shape[1] == 384
    assert learned_from["image"].values.shape[1] == 24
    standing = ["train", place, "--model", "neggen", "--set", "backbone=vbpr", "--set", "epochs=1"]
    on_it = cli(*standing, "--set", "base={epochs = 1, pictures = true}", "--name", "on-it")
    assert on_it.code == 0, on_it.err
    assert "pictures_hash" in Run.open(place / "runs" / "on-it").manifest
    assert cli("encode", place, "--pictures", picture_models["vit"]).code == 0
    stale = cli("refit", place / "runs" / "seeing")
    assert stale.code == 2
    assert "other descriptions or pictures" in stale.remark()
    assert "other pictures" in cli("doctor", place).out
    study = tmp_path / "study.toml"
    study.write_text(
        "[rows.blind]\nmodel = 'vbpr'\nsettings = {epochs = 1}\n"
        "[rows.seeing]\nmodel = 'vbpr'\nsettings = {epochs = 1, pictures = true}\n"
    )
    found = cli("compare", place, study, "--seeds", "1", "--json").json()["rows"]
    assert found["blind"]["metrics"] != found["seeing"]["metrics"]
