"""What is measured beside the usual figures: slices, beyond accuracy, time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from neggen.comparison.metering import Meter
from neggen.config import SplitConfig
from neggen.data.store import load_dataset
from neggen.models.measuring import measure
from neggen.models.popularity import Popularity
from neggen.runs import with_vectors
from neggen.workspace import Workspace


def test_slices_are_of_the_very_lists_that_were_measured(ready: Workspace) -> None:
    data = load_dataset(ready, SplitConfig())
    model = Popularity().fit(data)
    found = measure(model, data, "test")
    counts = data.train.toarray().sum(0)
    order = sorted(range(len(counts)), key=lambda i: counts[i])
    share, tail = 0.0, set()
    for popularity in sorted(set(counts) - {0}):
        group = [i for i in order if counts[i] == popularity]
        share += popularity * len(group) / counts.sum()
        if share > 0.2:
            break
        tail |= set(group)
    recalls, targets = [], 0
    for row, user in enumerate(found.result.users):
        wanted = set(data.test[user].indices) & tail
        targets += len(wanted)
        if wanted:
            top = set(found.result.lists[row, :20].tolist())
            recalls.append(len(top & wanted) / len(wanted))
    assert len(recalls) > 5
    assert found.slices["tail"]["users"] == len(recalls)
    assert found.slices["tail"]["targets"] == targets
    assert found.slices["tail"]["recall@20"] == pytest.approx(np.mean(recalls))

    activity = np.diff(data.train.indptr)[found.result.users]
    third = np.sort(activity)[(len(activity) - 1) // 3]
    inactive = activity <= third
    assert found.slices["low-activity"]["users"] == inactive.sum()
    expected = found.result.per_user["ndcg@20"][inactive].mean()
    assert found.slices["low-activity"]["ndcg@20"] == pytest.approx(expected)

    means = [np.mean([counts[i] for i in row[:20] if i >= 0]) for row in found.result.lists]
    assert found.beyond["popularity@20"] == pytest.approx(np.mean(means))
    assert "intra_list_distance@20" not in found.beyond, "there are no vectors"
    described = measure(model, with_vectors(ready, data), "test").beyond
    assert 0 < described["intra_list_distance@20"] < 1


def test_where_everything_is_cold(ready: Workspace) -> None:
    data = load_dataset(ready, SplitConfig(kind="cold-items"))
    found = measure(Popularity().fit(data), data, "test")
    cold = np.unique(data.test.indices)
    assert found.slices["tail"] == {"users": 0, "targets": 0, "recall@20": None, "ndcg@20": None}
    assert found.slices["cold"]["targets"] == data.test.nnz
    assert found.slices["cold"]["recall@20"] == found.result.metrics["recall@20"]
    assert found.beyond["popularity@20"] == 0
    assert set(found.result.lists[found.result.lists >= 0]) <= set(cold)
    assert found.beyond["gini@20"] == pytest.approx(0, abs=0.3), "over the cold items alone"


needs_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="Only Linux tells the peak of a block."
)


BLOCKS = """
import torch
from neggen.comparison.metering import Meter

held = torch.ones(50 * 2**18)  # 50 MiB
with Meter("cpu") as large:
    first = torch.ones(120 * 2**18)
    del first
    second = torch.ones(40 * 2**18)
with Meter("cpu") as small:
    third = torch.ones(10 * 2**18)
assert large.seconds > 0
print(large.peak_mib, small.peak_mib)
"""


@needs_linux
def test_peak_memory_is_of_the_block_and_above_what_there_was() -> None:
    # In a process of its own: a library loaded by another test may keep what is freed.
    told = subprocess.run([sys.executable, "-c", BLOCKS], capture_output=True, check=True)
    large, small = map(float, told.stdout.split())
    assert large == pytest.approx(120, abs=15)
    assert small == pytest.approx(10, abs=15), "an earlier peak does not count"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no GPU.")
def test_peak_memory_of_a_gpu() -> None:
    held = torch.ones(50 * 2**18, device="cuda")
    with Meter("cuda") as meter:
        first = torch.ones(120 * 2**18, device="cuda")
        del first
    assert meter.peak_mib == pytest.approx(120, abs=3)
    assert len(held)
