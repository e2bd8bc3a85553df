"""Encoding on a real Ray cluster: the same vectors, each text once, whoever dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from filelock import FileLock

from neggen.data.dataset import Dataset
from neggen.encoding import distributed, store
from neggen.encoding.distributed import _Job, _Worker, encode_on_ray
from neggen.encoding.store import VectorStore, encode
from neggen.encoding.text import TextEncoder
from neggen.workspace import Workspace

ray = pytest.importorskip("ray", reason="needs the extra: neggen[ray]")

TEXTS = 40
RECORDS = pl.DataFrame(
    {
        "description": [f"Mug number {number}, red." for number in range(15)],
        "negative": [f"Mug number {number}, blue." for number in range(15)],
    }
)
ITEMS = pl.DataFrame(
    {"item_id": [f"{n}" for n in range(10)], "title": [f"Mug {n}" for n in range(10)]}
)
DATA = Dataset.from_frames(pl.DataFrame({"user_id": ["u"], "item_id": ["0"]}), ITEMS)
ALL = [*RECORDS["description"], *RECORDS["negative"], *map(DATA.item_text, range(10))]


@pytest.fixture(autouse=True)
def alone(cluster_lock: FileLock) -> Iterator[None]:
    with cluster_lock:
        yield


def vectors(workspace: Workspace) -> VectorStore:
    (path,) = workspace.vectors_dir.glob("*.safetensors")
    return VectorStore(path)


def test_workers_and_drivers_that_die_lose_a_chunk_at_most(
    tmp_path: Path, small_encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "PARTS_PER_WORKER", TEXTS // 4)
    monkeypatch.setattr(small_encoder, "batch_size", 4)
    monkeypatch.setattr(store, "SAVE_EVERY", 8)
    progress: list[tuple[int, int]] = []

    def kill_a_worker_then_interrupt(finished: int, total: int) -> None:
        progress.append((finished, total))
        if len(progress) == 1:
            actors = ray._private.state.actors().values()
            (worker,) = (actor for actor in actors if "_Worker" in actor["ActorClassName"])
            os.kill(worker["Pid"], signal.SIGKILL)
        if finished == TEXTS - 4:
            raise KeyboardInterrupt

    workspace = Workspace(tmp_path / "w")
    with pytest.raises(KeyboardInterrupt):
        encode_on_ray(
            workspace, DATA, RECORDS, small_encoder, on_progress=kill_a_worker_then_interrupt
        )
    assert not ray.is_initialized()
    assert progress == [(done, TEXTS) for done in range(4, TEXTS, 4)]
    assert len(vectors(workspace).missing(ALL)) == 8

    alone = Workspace(tmp_path / "alone")
    encode(alone, DATA, RECORDS, small_encoder)
    assert encode(workspace, DATA, RECORDS, small_encoder).encoded == 8
    assert np.allclose(vectors(workspace).get(ALL), vectors(alone).get(ALL), atol=1e-6)
    summary = encode_on_ray(
        workspace, DATA, RECORDS, small_encoder, "127.0.0.1:1"
    )  # needs no cluster
    assert (summary.texts, summary.encoded, summary.dim) == (TEXTS, 0, 8)


def test_a_node_with_other_weights_is_refused(small_encoder: TextEncoder) -> None:
    job = _Job(small_encoder.name, "cpu", 4, "f" * 64)
    answer = _Worker(job)({"number": [np.int64(0)], "texts": ['["A mug."]']})
    assert "has other weights" in answer["error"][0]
    missing = _Job("no/such-model", "cpu", 4, "f" * 64)
    answer = _Worker(missing)({"number": [np.int64(0)], "texts": ['["A mug."]']})
    assert "'no/such-model' cannot be loaded" in answer["error"][0]
