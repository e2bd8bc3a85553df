"""Every model keeps the public contract."""

from __future__ import annotations

import pytest

from neggen.errors import NegGenError
from neggen.models import MODELS, model_class
from neggen.models.base import Recommender
from neggen.models.ease import EASE
from neggen.models.lightgcn import LightGCN
from neggen.models.mf import MF
from neggen.models.popularity import Popularity
from neggen.testing import RecommenderContract


class TestPopularity(RecommenderContract):
    learns = False
    by_history = True

    def model(self) -> Recommender:
        return Popularity()


class TestEASE(RecommenderContract):
    by_history = True

    def model(self) -> Recommender:
        return EASE(regularization=10.0)


class TestMF(RecommenderContract):
    def model(self) -> Recommender:
        return MF(dim=16, learning_rate=0.05, epochs=20)


class TestLightGCN(RecommenderContract):
    def model(self) -> Recommender:
        return LightGCN(dim=16, layers=2, learning_rate=0.05, epochs=8)


def test_models_are_found_by_name() -> None:
    assert {name: model_class(name).name for name in MODELS} == {name: name for name in MODELS}
    with pytest.raises(NegGenError, match=r"no model 'lihgtgcn'. Did you mean 'lightgcn'"):
        model_class("lihgtgcn")
