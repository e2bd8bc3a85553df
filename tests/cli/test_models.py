"""``neggen models``: everything by name, with its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from neggen.models import MODELS
from neggen.models.lightgcn import LightGCN
from neggen.negatives import SAMPLERS
from neggen.training.ranking_losses import LOSSES

if TYPE_CHECKING:
    from conftest import Cli


def test_all_are_listed_with_a_sentence(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cli("models", "--json").json()
    assert {kind: list(named) for kind, named in found.items()} == {
        "model": list(MODELS),
        "sampler": list(SAMPLERS),
        "loss": list(LOSSES),
    }
    assert all(len(text) > 10 for named in found.values() for text in named.values())
    monkeypatch.setenv("COLUMNS", "160")
    shown = cli("models").out
    assert all(name in shown for named in found.values() for name in named)


def test_the_settings_of_one(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cli("models", "lightgcn", "--json").json()["model"]
    assert set(found) == set(LightGCN.config_class.model_fields)
    assert found["layers"] == {
        "default": 3,
        "description": "Propagation steps over the user-item graph.",
    }
    assert found["sampler"]["default"] == {"name": "uniform"}
    monkeypatch.setenv("COLUMNS", "160")
    shown = cli("models", "lightgcn").out
    assert "layers" in shown
    assert "Propagation steps" in shown
    assert cli("models", "dns", "--json").json()["sampler"]["candidates"]["default"] == 16
    assert cli("models", "ssm", "--json").json()["loss"]["temperature"]["default"] == 0.1
    assert set(cli("models", "popularity", "--json").json()) == {"model", "sampler"}
    for name in (*MODELS, *SAMPLERS, *LOSSES):
        assert cli("models", name).code == 0


def test_what_there_is_not(cli: Cli) -> None:
    ended = cli("models", "lightgnc")
    assert ended.code == 2
    assert "There is no model, sampler or loss 'lightgnc'. Did you mean" in ended.remark()
    assert "neggen models lists them" in cli("models", "zzzz").remark()
