"""How fast LightGCN trains and is validated, beside RecBole's, in one run.

Two layers, 64 dimensions, batches of 2,048, learning rate 0.001, and the same regularization
½λ‖e‖², on the split that came with the data. Ours is also trained with batches of ``--batch`` and a
learning rate of ``--rate``. All are validated after every second epoch, and end after
``--patience`` epochs without a better Recall@20. What they learned is then measured by the same
code. *Time to their quality* is how long it takes until a validation reaches 99% of RecBole's best.
Times are numbers of epochs and validations times the median of each.
Figures are means over ``--seeds``, those of quality with their standard deviation.

RecBole lives in an environment of its own, which is made on the first run.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
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
    our_torch,
    print_last_line,
    run_benchmark,
)
from neggen import Dataset, LightGCN
from neggen.cli.output import console, print_table, say
from neggen.comparison.wording import mean_and_std
from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.base import FitContext
from neggen.training.loop import EpochLog

PEER = Path(__file__).parent / "peers" / "recbole_lightgcn.py"
PINNED = ("numpy==1.26.4", "scipy==1.12.0", "pandas==2.2.3", "setuptools<80")
REQUIREMENTS = ("recbole==1.2.1", our_torch(), *PINNED)
EVERY = 2
"""Epochs from one validation to the next."""


class Course(NamedTuple):
    """How a training went."""

    train: list[float]
    """Seconds of every epoch."""
    evaluate: list[float]
    """Seconds of every validation."""
    validations: list[tuple[int, float]]
    """The epoch of each, and its Recall@20."""
    test: float
    """Recall@20 of the best weights on the test part."""

    @property
    def best_epoch(self) -> int:
        """The epoch of the best validation."""
        return max(self.validations, key=lambda each: each[1])[0]

    @property
    def valid(self) -> float:
        """The best validation's Recall@20."""
        return max(recall for _, recall in self.validations)

    def seconds_until(self, epoch: int) -> float:
        """Return how long so many epochs take, with the validations among them.

        By medians, since every epoch is the same work, and other programs may hold one up.
        """
        return epoch * median(self.train) + epoch // EVERY * median(self.evaluate)

    def seconds_to(self, recall: float) -> float:
        """Return the seconds until a validation is that good, or infinity."""
        good = (epoch for epoch, found in self.validations if found >= recall)
        epoch = next(good, None)
        return float("inf") if epoch is None else self.seconds_until(epoch)


Figure = Callable[[Course], float]
"""One figure of a training."""


def main(
    data: DataOption,
    device: DeviceOption = "cpu",
    threads: Annotated[int, typer.Option(help="Threads for each side.")] = 2,
    patience: Annotated[int, typer.Option(help="Epochs without a better validation.")] = 20,
    epochs: Annotated[int, typer.Option(min=EVERY, help="At most; few only time.")] = 1000,
    seeds: Annotated[int, typer.Option(min=1, help="How often each side trains.")] = 1,
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
    python = environment(environments.expanduser() / "recbole", REQUIREMENTS)
    with imported(find_data(data, "amazon-baby"), None) as (_, dataset):
        dataset = dataset.split("given")
        settings = {"patience": patience // EVERY, "epochs": epochs, "device": device}
        settings |= {"regularization": regularization}
        ways = [{"batch_size": 2048, "learning_rate": 1e-3}]
        ways += [{"batch_size": batch, "learning_rate": rate}]
        ours, large = (
            [train_ours(dataset, {**settings, **way, "seed": seed}) for seed in range(seeds)]
            for way in ways
        )
        options = [patience, EVERY, threads, device, peer_batch, regularization]
        theirs = [train_theirs(dataset, python, [epochs, seed, *options]) for seed in range(seeds)]
    goal = 0.99 * fmean(course.valid for course in theirs)
    seconds: list[tuple[str, Figure]] = [
        ("seconds an epoch", lambda course: median(course.train)),
        ("seconds a validation", lambda course: median(course.evaluate)),
        ("best epoch", lambda course: course.best_epoch),
        ("seconds to the best weights", lambda course: course.seconds_until(course.best_epoch)),
        ("seconds to their quality", lambda course: course.seconds_to(goal)),
    ]
    qualities: list[tuple[str, Figure]] = [
        ("validation Recall@20", lambda course: course.valid),
        ("test Recall@20", lambda course: course.test),
    ]
    sides = (ours, large, theirs)
    table = [
        (name, *(f"{mean_of(figure, side):.4g}" for side in sides)) for name, figure in seconds
    ]
    table += [
        (name, *(mean_and_std(list(map(figure, side))) for side in sides))
        for name, figure in qualities
    ]
    print_table(
        ["", "neggen", f"batches of {batch:,}", "RecBole 1.2.1"],
        table,
        title=f"LightGCN, 2 layers, on {device}, {threads} threads, {seeds} seeds",
    )

    def compared(one: list[Course]) -> dict[str, Any]:
        ratios = [mean_of(figure, theirs) / mean_of(figure, one) for _, figure in seconds]
        named = ("epoch", "evaluation", "best_epoch", "time_to_best", "time_to_their_quality")
        return {
            **{
                f"{name}_ratio": ratio if math.isfinite(ratio) else None
                for name, ratio in zip(named, ratios, strict=True)
            },
            "test_recall_20": [mean_of(lambda course: course.test, side) for side in (one, theirs)],
        }

    print_last_line(
        {
            **compared(ours),
            "larger_batches": {**compared(large), "batch": batch},
            "seeds": seeds,
            "peer_batch": peer_batch,
            "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
        }
    )


def mean_of(figure: Figure, side: list[Course]) -> float:
    """Return the mean of a figure over the seeds of a side."""
    return fmean(map(figure, side))


def train_ours(data: Dataset, settings: dict[str, Any]) -> Course:
    """Train ours."""
    stamps: list[tuple[float, EpochLog]] = []
    model = LightGCN(layers=2, evaluate_every=EVERY, metric="recall@20", **settings)
    model.fit(data, FitContext(on_epoch=lambda _, log: stamps.append((time.perf_counter(), log))))
    pairs = list(pairwise(stamps))  # of epochs, after the start
    course = Course(
        train=[log.seconds for _, (_, log) in pairs],
        evaluate=[now - before - log.seconds for (before, _), (now, log) in pairs if log.valid],
        validations=[(log.epoch, log.valid["recall@20"]) for _, log in stamps[1:] if log.valid],
        test=recall(data, model.user_embeddings, model.item_embeddings),
    )
    say(f"ours: best after epoch {course.best_epoch}")
    return course


def train_theirs(data: Dataset, python: Path, options: list[Any]) -> Course:
    """Train RecBole's in its environment; one line of JSON an epoch."""
    with tempfile.TemporaryDirectory() as temporary, console.status("RecBole") as status:
        folder = Path(temporary)
        write_atomic(data, folder / "data")
        command = [str(python), str(PEER), temporary, "data", *map(str, options)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        assert process.stdout is not None  # it is a pipe
        logs = []
        for line in process.stdout:
            logs.append(json.loads(line))
            status.update(f"RecBole: epoch {logs[-1]['epoch']}")
        if process.wait() != 0 or not any("recall" in log for log in logs):
            sys.exit("RecBole's training failed; its error is above.")
        users, items = (
            vectors_of(folder / f"{name}.npz", ids)
            for name, ids in (("user_id", data.user_ids), ("item_id", data.item_ids))
        )
    validated = [log for log in logs if "recall" in log]
    course = Course(
        train=[log["train"] for log in logs],
        evaluate=[log["evaluate"] for log in validated],
        validations=[(log["epoch"], log["recall"]) for log in validated],
        test=recall(data, users, items),
    )
    say(f"RecBole: best after epoch {course.best_epoch}")
    return course


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


def recall(data: Dataset, users: torch.Tensor, items: torch.Tensor) -> float:
    """Measure Recall@20 on the test part, by the embeddings."""
    result = evaluate_ranking(
        lambda batch: users[batch] @ items.T, data.train, data.test, ks=[20], device=users.device
    )
    return result.metrics["recall@20"]


if __name__ == "__main__":
    run_benchmark(main)
