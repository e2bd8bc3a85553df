"""How often training is interrupted to validate."""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse import csr_matrix

from neggen.config import TrainConfig

STEPS_TO_VALIDATION = 50
"""Steps between two validations, rounded up to whole epochs, unless the settings say otherwise."""
SCORES_AN_INTERACTION = 1000
"""Scores that take a validation about as long as an interaction takes an epoch."""
LEAST_VALIDATIONS = 4
"""Validations, at least, that patience lasts for."""


def rhythm(
    interactions: csr_matrix, valid: csr_matrix, config: TrainConfig, rankings: int
) -> tuple[int, int]:
    """Return the epochs between two validations, and how many one counts for in ``patience``.

    Where validating takes longer than the training in between, as with many users and items, it is
    done less often, and each counts for those left out: patience lasts for as many epochs. A
    validation makes so many ``rankings``.
    """
    if config.evaluate_every:
        return config.evaluate_every, 1
    usual = math.ceil(STEPS_TO_VALIDATION / math.ceil(interactions.nnz / config.batch_size))
    scores = rankings * np.count_nonzero(np.diff(valid.indptr)) * valid.shape[1]
    times = round(scores / (SCORES_AN_INTERACTION * interactions.nnz * usual))
    times = max(1, min(times, config.patience // LEAST_VALIDATIONS))
    return usual * times, times
