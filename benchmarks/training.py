"""How fast LightGCN trains and is validated, beside RecBole's, in one run.

Two layers, 64 dimensions, batches of 2,048, learning rate 0.001, and the same regularization
½λ‖e‖², on the split that came with the data. Ours is also trained with batches of ``--batch`` and a
learning rate of ``--rate``. All end after ``--patience`` epochs without a better Recall@20 on
validation. RecBole validates every epoch, as it does by itself; ours after every second one. What
was learned is then measured by the same code. *Time to their quality* is how long it takes until a
validation reaches 99% of RecBole's best.

RecBole lives in an environment of its own, which is made on the first run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import numpy as np
import polars as pl
import torch
import typer

from common import (
    DataOption,
    DeviceOption,
    environment,
    find_data,
    imported,
    print_last_line,
    run_benchmark,
)
from neggen import Dataset, LightGCN
from neggen.cli.output import print_table, say
from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.base import FitContext
from neggen.training.loop import EpochLog

PEER = Path(__file__).parent / "peers" / "recbole_lightgcn.py"
PINNED = ("numpy==1.26.4", "scipy==1.10.1", "pandas==2.2.3", "setuptools<80")
REQUIREMENTS = ("recbole==1.2.1", *PINNED)
EVERY = 2
"""Epochs from one of our validations to the next."""


class Course(NamedTuple):
    """How a training went."""

    train: list[float]
    """Seconds of every epoch."""
    evaluate: list[float]
    """Seconds of every validation."""
    validations: list[tuple[float, float]]
    """Seconds until each, and its Recall@20."""
    to_best: float
    """Seconds until the weights that validated best were known as such."""
    best_epoch: int
    valid: float
    users: torch.Tensor
    items: torch.Tensor


def main(
    data: DataOption,
    device: DeviceOption = "cpu",
    threads: Annotated[int, typer.Option(help="Threads for each side.")] = 2,
    patience: Annotated[int, typer.Option(help="Epochs without a better validation.")] = 20,
    epochs: Annotated[int, typer.Option(help="At most; few of them only time.")] = 1000,
    regularization: Annotated[float, typer.Option(help="λ of both sides.")] = 1e-2,
    batch: Annotated[int, typer.Option(help="Our larger batches.")] = 8192,
    rate: Annotated[float, typer.Option(help="Our learning rate with them.")] = 3e-3,
    peer_batch: Annotated[
        int,
        typer.Option(help="RecBole's eval_batch_size, in scores; its default takes user by user."),
    ] = 4096,
    environments: Annotated[
        Path, typer.Option(help="Where the peer's environment is made and kept.")
    ] = Path("~/.cache/neggen-peers"),
) -> None:
    """Train both and compare seconds an epoch, a validation, and to the best weights."""
    torch.set_num_threads(threads)
    with imported(find_data(data, "amazon-baby"), None) as (_, dataset):
        dataset = dataset.split("given")
        settings = {"patience": patience // EVERY, "epochs": epochs, "device": device}
        settings |= {"regularization": regularization}
        ours = train_ours(dataset, {**settings, "batch_size": 2048, "learning_rate": 1e-3})
        large = train_ours(dataset, {**settings, "batch_size": batch, "learning_rate": rate})
        python = environment(environments.expanduser() / "recbole", REQUIREMENTS)
        with tempfile.TemporaryDirectory() as folder:
            options = [patience, threads, device, peer_batch, regularization]
            theirs = train_theirs(dataset, Path(folder), python, epochs, list(map(str, options)))
        sides = (ours, large, theirs)
        recalls = [recall(dataset, side, device) for side in sides]
    rows = [
        ("seconds an epoch", [median(side.train) for side in sides]),
        ("seconds a validation", [median(side.evaluate) for side in sides]),
        ("best epoch", [side.best_epoch for side in sides]),
        ("seconds to the best weights", [side.to_best for side in sides]),
        ("seconds to their quality", [seconds_to(0.99 * theirs.valid, side) for side in sides]),
        ("validation Recall@20", [side.valid for side in sides]),
        ("test Recall@20", recalls),
    ]
    print_table(
        ["", "neggen", f"batches of {batch:,}", "RecBole 1.2.1"],
        [(name, *(f"{figure:.4g}" for figure in figures)) for name, figures in rows],
        title=f"LightGCN, 2 layers, on {device}, {threads} threads",
    )
    print_last_line(
        {
            **ratios(ours, theirs),
            "test_recall_20": [recalls[0], recalls[2]],
            "larger_batches": {
                **ratios(large, theirs),
                "test_recall_20": [recalls[1], recalls[2]],
                "batch": batch,
            },
            "peer_batch": peer_batch,
            "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
        }
    )


def ratios(one: Course, theirs: Course) -> dict[str, float]:
    """Return how many times as long theirs took."""
    return {
        "epoch_ratio": median(theirs.train) / median(one.train),
        "evaluation_ratio": median(theirs.evaluate) / median(one.evaluate),
        "time_to_best_ratio": theirs.to_best / one.to_best,
        "time_to_their_quality_ratio": seconds_to(0.99 * theirs.valid, theirs)
        / seconds_to(0.99 * theirs.valid, one),
    }


def seconds_to(recall: float, side: Course) -> float:
    """Return the seconds until a validation is that good, or infinity."""
    return next((s for s, found in side.validations if found >= recall), float("inf"))


def train_ours(data: Dataset, settings: dict[str, Any]) -> Course:
    """Train ours."""
    stamps = [(time.perf_counter(), EpochLog(0))]
    model = LightGCN(layers=2, evaluate_every=EVERY, **settings)
    began = time.perf_counter()
    model.fit(data, FitContext(on_epoch=lambda _, log: stamps.append((time.perf_counter(), log))))
    pairs = list(pairwise(stamps))[1:]  # without the start
    best = max((log for _, log in stamps if log.valid), key=lambda log: log.best * log.epoch)
    to_best = next(now for now, log in stamps if log is best) - began
    say(f"ours: best after epoch {best.epoch}, {to_best:.1f} s")
    return Course(
        train=[log.seconds for _, (_, log) in pairs],
        evaluate=[now - before - log.seconds for (before, _), (now, log) in pairs if log.valid],
        validations=[(now - began, log.valid["recall@20"]) for now, log in stamps if log.valid],
        to_best=to_best,
        best_epoch=best.epoch,
        valid=(best.valid or {})["recall@20"],
        users=model.user_embeddings,
        items=model.item_embeddings,
    )


def train_theirs(
    data: Dataset, folder: Path, python: Path, epochs: int, options: list[str]
) -> Course:
    """Train RecBole's in its environment; one line of JSON an epoch."""
    write_atomic(data, folder / "data")
    command = [str(python), str(PEER), str(folder), "data", str(epochs), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    assert process.stdout is not None  # it is a pipe
    logs = [json.loads(line) for line in process.stdout]
    if process.wait() != 0 or not logs:
        sys.exit("RecBole's training failed; its error is above.")
    best = max(logs, key=lambda log: log["recall"])
    spent = list(accumulate(log["train"] + log["evaluate"] for log in logs))
    users, items = (
        vectors_of(folder / f"{name}.npz", ids)
        for name, ids in (("user_id", data.user_ids), ("item_id", data.item_ids))
    )
    return Course(
        train=[log["train"] for log in logs],
        evaluate=[log["evaluate"] for log in logs],
        validations=[(now, log["recall"]) for now, log in zip(spent, logs, strict=True)],
        to_best=spent[best["epoch"] - 1],
        best_epoch=best["epoch"],
        valid=best["recall"],
        users=users,
        items=items,
    )


def write_atomic(data: Dataset, folder: Path) -> None:
    """Write the parts of a split as RecBole's atomic files."""
    folder.mkdir()
    for part in ("train", "valid", "test"):
        pairs = data.matrix(part).tocoo()
        frame = pl.DataFrame(
            {
                "user_id:token": data.user_ids[pairs.row.astype(np.int64)],
                "item_id:token": data.item_ids[pairs.col.astype(np.int64)],
            }
        )
        frame.write_csv(folder / f"data.{part}.inter", separator="\t")


def vectors_of(path: Path, ids: pl.Series) -> torch.Tensor:
    """Read embeddings in the order of our ids; nobody's are 0."""
    with np.load(path) as stored:
        places = {name: place for place, name in enumerate(stored["ids"])}
        table = np.vstack([stored["vectors"], np.zeros_like(stored["vectors"][:1])])
    return torch.from_numpy(table[[places.get(name, -1) for name in ids]])


def recall(data: Dataset, side: Course, device: str) -> float:
    """Measure Recall@20 on the test part."""
    users, items = side.users.to(device), side.items.to(device)
    result = evaluate_ranking(
        lambda batch: users[batch] @ items.T, data.train, data.test, ks=[20], device=device
    )
    return result.metrics["recall@20"]


if __name__ == "__main__":
    run_benchmark(main)
