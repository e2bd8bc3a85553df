"""Figures on the real data sets, which cannot be shipped: set NEGGEN_DATA to their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neggen.data.dataset import Dataset
from neggen.data.readers import read_source
from neggen.evaluation.ranking import evaluate_ranking
from neggen.generation.backends.recorded import RecordedBackend
from neggen.generation.run import generate_records
from neggen.models.ease import EASE


def read(name: str) -> tuple[Path, Dataset]:
    folder = os.environ.get("NEGGEN_DATA")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"NEGGEN_DATA does not name a folder with {name}")
    source = Path(folder) / name
    return source, read_source(source)


def test_office_has_a_valid_record_for_every_recorded_answer() -> None:
    source, data = read("amazon-office")
    assert (*data.shape, len(data.users)) == (4905, 2420, 53258)
    records = generate_records(data, RecordedBackend(source / "answers.jsonl", data.item_ids))
    assert len(records) == 2420


def test_ease_on_baby_reaches_the_reference() -> None:
    _, data = read("amazon-baby")
    data = data.split("given")
    assert (data.train.nnz, data.valid.nnz, data.test.nnz) == (118551, 20559, 21682)
    model = EASE(regularization=200).fit(data)
    found = evaluate_ranking(model.score_index, data.train, data.test, ks=(20,)).metrics
    assert found["recall@20"] >= 0.0815
