"""Do exported models recommend what the models themselves do?

    python benchmarks/export.py --data DATA

Trains models on Amazon Office, exports them to ONNX and FAISS, and asks the exported files alone
for the 20 best unseen items of every user. A list agrees if, rank by rank, its items have the
scores of the model's own list (to 1e-5 of the user's largest), so that only equal scores may change
places.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnxruntime
import polars as pl
import torch

from common import (
    DataOption,
    DeviceOption,
    WorkspaceOption,
    describe,
    find_data,
    imported,
    print_last_line,
    run_benchmark,
)
from neggen.cli.output import print_table, say
from neggen.config import SplitConfig
from neggen.models.base import Recommender
from neggen.runs import train_run
from neggen.serving.export import export_run

K = 20
BATCH = 512
SHORT = {"epochs": 30, "learning_rate": 0.003}
MODELS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "mf": (SHORT, ("onnx", "faiss")),
    "lightgcn": (SHORT, ("onnx", "faiss")),
    "neggen": ({"base": SHORT, "epochs": 10}, ("onnx", "faiss")),
    "content-knn": ({}, ("onnx", "faiss")),
    "ease": ({}, ("onnx",)),
    "item-knn": ({}, ("onnx",)),
    "content-ease": ({}, ("onnx",)),
    "neggen-linear": ({}, ("onnx",)),
}
"""Settings, which need not be good, and formats."""
Best = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Internal users ``[batch]`` and what they used ``[batch, items]`` to item ids ``[batch, K]``."""


def main(data: DataOption, workspace: WorkspaceOption = None, device: DeviceOption = "cpu") -> None:
    """Compare exported models with their originals on Amazon Office."""
    source = find_data(data, "amazon-office")
    rows, figures = [], {}
    with (
        imported(source, workspace) as (place, catalogue),
        tempfile.TemporaryDirectory(prefix="neggen-export-") as temporary,
    ):
        describe(place, catalogue, source / "answers.jsonl", device)
        for name, (settings, formats) in MODELS.items():
            run = train_run(place, name, {"device": device, **settings}, SplitConfig())
            folder = Path(temporary) / name
            say(f"Exporting {run.folder.name}")
            export_run(run, folder, formats)
            model, history = run.load_model(), run.load_data().train
            for kind in formats:
                if kind == "onnx":
                    best = onnx_lists(folder / kind, history)
                else:
                    best = faiss_lists(folder / kind)
                agreeing, same, seconds = compare(model, best)
                users = len(run.load_data().user_ids)
                size = sum(path.stat().st_size for path in (folder / kind).iterdir())
                lists = f"{agreeing:,} of {users:,}", f"{same:.4f}"
                rows.append(
                    [name, kind, *lists, f"{size / 1e6:,.1f}", f"{1000 * seconds / users:.2f}"]
                )
                figures[f"{name} {kind}"] = agreeing / users
    columns = ["model", "format", "agreeing lists", "same items and order", "MB", "ms a user"]
    print_table(columns, rows, title="Amazon Office, 20 best unseen items of every user")
    print_last_line({"lists": len(rows), "least agreeing": min(figures.values()), **figures})


def onnx_lists(folder: Path, history: Any) -> Best:
    """Return how to ask ``scorer.onnx``."""
    session = onnxruntime.InferenceSession(folder / "scorer.onnx")
    wanted = {each.name for each in session.get_inputs()}

    def best(users: np.ndarray, seen: np.ndarray) -> np.ndarray:
        inputs = {"seen": seen, "k": np.array([K]), "users": users}
        if "history" in wanted:
            inputs["history"] = history[users].toarray()
        (ids,) = session.run(["item_ids"], {name: inputs[name] for name in wanted})
        return ids

    return best


def faiss_lists(folder: Path) -> Best:
    """Return how to search ``items.faiss``."""
    index = faiss.read_index(str(folder / "items.faiss"))
    ids = pl.read_parquet(folder / "items.parquet")["item_id"].to_numpy()
    vectors = pl.read_parquet(folder / "users.parquet")["vector"].to_numpy()

    def best(users: np.ndarray, seen: np.ndarray) -> np.ndarray:
        _, found = index.search(np.stack(vectors[users]), K + int(seen.sum(axis=1).max()))
        return np.stack([ids[row[~used[row]][:K]] for row, used in zip(found, seen, strict=True)])

    return best


def compare(model: Recommender, best: Best) -> tuple[int, float, float]:
    """Return how many lists agree, the share of the very same lists, and the seconds it took."""
    ids = model.item_ids.to_list()
    position = {item: number for number, item in enumerate(ids)}
    agreeing, same, seconds = 0, 0, 0.0
    count = len(model.user_ids)
    for start in range(0, count, BATCH):
        users = np.arange(start, min(start + BATCH, count))
        seen = model._seen[users].toarray() > 0
        scores = model.score_index(torch.from_numpy(users)).numpy()
        scores = np.where(seen, -np.inf, scores)
        own = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        started = time.perf_counter()
        lists = best(users, seen)
        seconds += time.perf_counter() - started
        found = np.vectorize(position.__getitem__)(lists)
        ours, theirs = (np.take_along_axis(scores, rows, 1) for rows in (own, found))
        reach = np.abs(np.where(seen, 0, scores)).max(axis=1, keepdims=True)
        distinct = [len(set(row)) == K for row in found]
        agreeing += int(((np.abs(ours - theirs) <= 1e-5 * reach).all(axis=1) & distinct).sum())
        same += int((own == found).all(axis=1).sum())
    return agreeing, same / count, seconds


if __name__ == "__main__":
    run_benchmark(main)
