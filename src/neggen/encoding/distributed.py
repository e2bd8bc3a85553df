"""Encoding on a Ray cluster: texts go out, vectors come back and are kept a chunk at a time."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.vectors import Reads
from neggen.encoding import store
from neggen.encoding.store import EncodingSummary, keep_encoded
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.generation.distributed.cluster import Pool, connected, nodes, outcomes
from neggen.workspace import Workspace

PART_TEXTS = 512
"""Texts that a worker gets at once, at most."""
PARTS_PER_WORKER = 8
"""So many parts, if they fill a batch of the encoder, so that progress is seen and work is even."""


def encode_on_ray(
    workspace: Workspace,
    data: Dataset,
    records: pl.DataFrame,
    encoder: TextEncoder,
    address: str | None = None,
    *,
    workers: int | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    on_progress: Callable[[int, int], None] | None = None,
    reads: Reads = "descriptions",
) -> EncodingSummary:
    """Encode as :func:`neggen.encoding.store.encode` does, with workers on a Ray cluster.

    Only this process writes the vectors, so the nodes need not see the workspace. A driver that is
    killed loses at most ``neggen.encoding.store.SAVE_EVERY`` texts and what was in flight; a text
    whose worker dies is encoded by another one.

    Args:
        workspace: where the vectors are kept.
        data: the catalogue, whose items' own texts are encoded too.
        records: what generation wrote, with ``description`` and ``negative``.
        encoder: the text encoder; the workers load it by its name and run it on its device.
        address: of the cluster, such as ``auto`` or ``10.0.0.1:6379``; None starts one on this
            machine.
        workers: processes; by default one a node.
        cpus: CPU cores of each worker.
        gpus: GPUs of each worker, or a share of one; needs an encoder on ``cuda``.
        on_progress: called with (texts finished, texts to encode).
        reads: see :func:`neggen.encoding.store.encode`.

    Raises:
        NegGenError: If the cluster cannot be used, or a node has another encoder of that name.
    """
    pool = Pool(workers, cpus, gpus)
    job = _Job(encoder.name, encoder.device, encoder.batch_size, encoder.fingerprint)

    def encoded(missing: list[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        if not missing:
            return
        texts: list[str] = []
        vectors: list[NDArray[np.float32]] = []
        finished = 0
        with connected(address):
            even = ceil(len(missing) / ((workers or nodes()) * PARTS_PER_WORKER))
            size = min(PART_TEXTS, max(even, encoder.batch_size))
            parts = [missing[start : start + size] for start in range(0, len(missing), size)]
            rows = [{"number": n, "texts": json.dumps(part)} for n, part in enumerate(parts)]
            for batch in outcomes(_Worker, job, rows, pool):
                if batch["error"][0]:
                    raise NegGenError(str(batch["error"][0]))
                part = parts[batch["number"][0]]
                texts += part
                vectors.append(
                    np.frombuffer(batch["vectors"][0], np.float32).reshape(len(part), -1)
                )
                finished += len(part)
                if on_progress is not None:
                    on_progress(finished, len(missing))
                if len(texts) >= store.SAVE_EVERY or finished == len(missing):
                    yield texts, np.concatenate(vectors)
                    texts, vectors = [], []

    return keep_encoded(workspace, data, records, encoder, encoded, reads)


@dataclass(frozen=True)
class _Job:
    name: str
    device: str
    batch_size: int
    fingerprint: str


class _Worker:
    """Encodes one part after another; an actor of Ray."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        device = job.device.partition(":")[0]  # Ray shows a worker its own GPU alone
        self._encoder = TextEncoder(job.name, device=device, batch_size=job.batch_size)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        error, vectors = "", b""
        try:
            vectors = self._encode(json.loads(batch["texts"][0])).tobytes()
        except NegGenError as problem:
            error = f"{problem} (A worker on {platform.node()} says so.)"
        return {"number": [int(batch["number"][0])], "vectors": [vectors], "error": [error]}

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        if self._encoder.fingerprint != self._job.fingerprint:
            raise NegGenError(
                f"The encoder '{self._job.name}' has other weights on one node than where the "
                "command was given; install the same on all."
            )
        return self._encoder.encode(texts)
