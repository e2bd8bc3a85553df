"""Samplers that see the model: they train it, and an interruption leaves no trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neggen import GRCN, MF, VBPR, LightGCN
from neggen.data.vectors import Features
from neggen.models.base import FitContext
from neggen.testing import checkerboard
from neggen.training.loop import EpochLog

SAMPLERS = ["srns", "mixgcf", "ahns", "dens", "ans"]
DATA = checkerboard()


@pytest.mark.parametrize("model", [VBPR, GRCN])
@pytest.mark.parametrize("name", SAMPLERS)
def test_models_that_join_embeddings_have_wider_ones(model, name: str) -> None:
    features = Features(
        np.random.default_rng(0).normal(size=(DATA.shape[1], 6)).astype(np.float32),
        np.ones(DATA.shape[1], dtype=np.bool_),
    )
    sampler = {"name": name, "candidates": 6}
    made = model(sampler=sampler, dim=8, batch_size=64, epochs=3, evaluate_every=1)
    fitted = made.fit(DATA.replace(features={"text": features}))
    assert fitted.user_embeddings.shape[1] > 8
    assert fitted.user_embeddings.isfinite().all()


@pytest.mark.parametrize("model", [MF, LightGCN])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_model_learns_and_resumes_bit_for_bit(model, name: str, tmp_path: Path) -> None:
    settings = {"epochs": 8, "evaluate_every": 1, "patience": 8, "checkpoint_seconds": 0}
    sampler = {"name": name, "candidates": 6}
    make = {"sampler": sampler, "dim": 8, "batch_size": 64, "learning_rate": 0.02, **settings}
    undisturbed = model(**make).fit(DATA)
    losses = [log.loss for log in undisturbed.history[model.name]]
    assert losses[-1] < losses[1]

    def stop(phase: str, log: EpochLog) -> None:
        if log.epoch == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model(**make).fit(DATA, FitContext(tmp_path, stop))
    seen = []
    context = FitContext(tmp_path, lambda phase, log: seen.append(log.epoch))
    resumed = model(**make).fit(DATA, context)
    assert seen[0] == 5
    assert resumed.user_embeddings.equal(undisturbed.user_embeddings)
    assert resumed.item_embeddings.equal(undisturbed.item_embeddings)
    assert [log.loss for log in resumed.history[model.name]] == losses
