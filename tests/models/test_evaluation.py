"""``evaluate``: the figures of a fitted model on a part of the data it was fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neggen
from neggen.errors import NegGenError
from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.ease import EASE
from neggen.testing import checkerboard


def test_it_ranks_as_a_study_does() -> None:
    data = checkerboard()
    model = EASE().fit(data)
    for part, target in (("test", data.test), ("valid", data.valid)):
        by_hand = evaluate_ranking(model.score_index, data.train, target, ks=[5])
        found = neggen.evaluate(model, data, part, ks=[5])
        assert found.metrics == by_hand.metrics
        assert found.lists.tolist() == by_hand.lists.tolist()


def test_a_further_test_set_is_ranked_without_all_of_the_log() -> None:
    data = checkerboard()
    unseen = next(item for item in range(data.shape[1]) if not data.everything[0, item])
    used = int(data.everything[0].indices[0])
    asked = data.replace(test_sets={"later": np.array([[0, unseen], [0, used]], np.int32)})
    found = neggen.evaluate(EASE().fit(data), asked, "later", ks=[data.shape[1]])
    assert found.metrics[f"recall@{data.shape[1]}"] == 1, "what is in the log is not asked for"
    assert used not in found.lists[0]


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    data = checkerboard()
    model = EASE().fit(data)
    with pytest.raises(NegGenError, match="was fitted on another split, so it has learned from"):
        neggen.evaluate(model, data.split("random", seed=5))
    with pytest.raises(NegGenError, match="The part 'train' cannot be measured"):
        neggen.evaluate(model, data, "train")
    with pytest.raises(NegGenError, match=r"There is no part 'tset'; .* mean 'test'"):
        neggen.evaluate(model, data, "tset")
    with pytest.raises(NegGenError, match="is not fitted"):
        neggen.evaluate(EASE(), data)
    other = data.replace(user_ids=data.user_ids.reverse())
    with pytest.raises(NegGenError, match="was fitted on other users or items"):
        neggen.evaluate(model, other)
    model.save(tmp_path)
    loaded = neggen.load(tmp_path)
    assert neggen.evaluate(loaded, data).metrics == neggen.evaluate(model, data).metrics
