"""Settings by scikit-learn's convention."""

from __future__ import annotations

import pytest
from sklearn.base import clone

from neggen.errors import NegGenError
from neggen.models.ease import EASE
from neggen.models.mf import MF
from neggen.models.neggen import NegGen
from neggen.testing import checkerboard, refuses


def test_settings_are_read_and_changed() -> None:
    model = MF(dim=4, sampler="dns")
    assert model.get_params()["dim"] == 4
    assert model.get_params(deep=False)["sampler"] == {"name": "dns"}
    assert MF(**model.get_params()).config == model.config
    assert model.set_params(dim=8, seed=3) is model
    assert (model.config.dim, model.config.seed, model.config.sampler) == (8, 3, {"name": "dns"})
    with refuses("'dims' is not a setting", "'dim'"):
        model.set_params(dims=8)
    with pytest.raises(NegGenError, match="'cuda:99' cannot be used"):
        model.set_params(device="cuda:99")
    assert model.config.dim == 8


def test_what_follows_from_settings_changes_with_them() -> None:
    model = NegGen(base={"layers": 2}).set_params(backbone="ease", base={"regularization": 7})
    assert model.backbone_class is EASE
    assert model.base_config.regularization == 7


def test_what_neggen_was_given_to_stand_on_stays() -> None:
    model = NegGen()
    model.base = EASE()
    assert model.set_params(alpha=0.0).base is model.base
    assert clone(model).base is model.base
    assert model.set_params(backbone="mf").base is None


def test_a_changed_model_has_to_be_fitted_again() -> None:
    data = checkerboard()
    user = data.user_ids[0]
    model = EASE(regularization=10).fit(data)
    with pytest.raises(NegGenError, match="not fitted"):
        model.set_params(regularization=500).score([user])
    changed = model.fit(data).score([user])
    assert changed.equals(EASE(regularization=500).fit(data).score([user]))


def test_a_clone_has_the_settings_and_nothing_learned() -> None:
    model = MF(dim=4, epochs=1, learning_rate=0.01).fit(checkerboard())
    copy = clone(model)
    assert copy.config == model.config
    assert copy.item_ids is None
    assert model.item_ids is not None
