"""A planted leak: who chose on the test part would take another setting, and is caught."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from neggen.comparison.run import run_study
from neggen.comparison.study import Study
from neggen.config import ModelConfig, SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset
from neggen.models import MODELS
from neggen.models.base import FitContext, Recommender
from neggen.workspace import Workspace

Part = Literal["valid", "test"]


class PlantedConfig(ModelConfig):
    knows: Part = "valid"


class Planted(Recommender):
    """Ranks what it was told beforehand: the targets of one part. It keeps what it was given."""

    name = "planted"
    config_class = PlantedConfig
    config: PlantedConfig
    answers: ClassVar[dict[tuple[int, str], np.ndarray]] = {}
    given: ClassVar[list[tuple[int, Dataset]]] = []

    def _fit(self, data: Dataset, context: FitContext) -> None:
        self.given.append((self.config.seed, data))
        self.scores = torch.from_numpy(self.answers[self.config.seed, self.config.knows])

    def _score(self, users: Tensor) -> Tensor:
        return self.scores[users]

    def _tensors(self) -> dict[str, Tensor]:
        return {"scores": self.scores}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.scores = tensors["scores"]


SEEDS = 2


@pytest.fixture
def planted(ready: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The model stands beside the others and knows the answers of every split."""
    monkeypatch.setitem(sys.modules, "planted_model", SimpleNamespace(Planted=Planted))
    monkeypatch.setitem(MODELS._added, "planted", "planted_model:Planted")
    monkeypatch.setattr(Planted, "given", [])
    for seed in range(SEEDS):
        data = load_dataset(ready, SplitConfig(seed=seed))
        for part in ("valid", "test"):
            monkeypatch.setitem(Planted.answers, (seed, part), data.matrix(part).toarray())
    return ready


@pytest.mark.parametrize("start", ["valid", "test"])
def test_what_wins_on_test_is_not_taken(planted: Workspace, start: Part) -> None:
    rows: dict[str, Any] = {
        "planted": {
            "model": "planted",
            "settings": {"knows": start},
            "search": {"knows": ["valid", "test"]},
        },
        "ease": {"model": "ease", "search": {}},
    }
    study = Study.parse({"seeds": SEEDS, "budget": 9, "reference": "ease", "rows": rows})
    found = run_study(planted, study, f"leak-{start}")["rows"]["planted"]
    assert found["settings"]["knows"] == "valid"
    assert found["valid"] == [1.0] * SEEDS
    other = Study.parse({"seeds": SEEDS, "rows": {"x": {**rows["planted"], "search": {}}}})
    if start == "test":  # the setting that was not taken is the winner of the test part
        leaking = run_study(planted, other, "leaking")["rows"]["x"]
        assert leaking["metrics"]["ndcg@20"] == [1.0] * SEEDS
        assert max(found["metrics"]["ndcg@20"]) < 0.5


def test_nothing_that_is_fitted_sees_the_test_part(planted: Workspace) -> None:
    rows = {"planted": {"model": "planted", "search": {"knows": ["valid", "test"]}}}
    run_study(planted, Study.parse({"seeds": SEEDS, "budget": 9, "rows": rows}), "given")
    assert len(Planted.given) == 3 + SEEDS, "three trials on seed 0, then every seed"
    for seed, data in Planted.given:
        whole = load_dataset(planted, SplitConfig(seed=seed))
        kept = whole.train.nnz + whole.valid.nnz
        assert len(data.users) == len(data.items) == kept < len(whole.users)
        assert data.test.nnz == 0
        assert data.test_sets == {}
        used = pl.DataFrame({"user": data.users, "item": data.items})
        rows_of_test, items_of_test = whole.test.nonzero()
        hidden = pl.DataFrame({"user": rows_of_test, "item": items_of_test}).cast(pl.Int32)
        assert used.join(hidden, on=["user", "item"]).is_empty()
