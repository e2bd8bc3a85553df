"""Matrix factorization with BPR beside implicit's (C++), in one run: time to equal quality.

64 factors and λ = 0.01 each. Both try the same number of learning rates, and the one that validates
best counts. Time is that of training alone, without looks at validation, until the first look at
which the worse of the two best figures is reached. implicit takes single steps of SGD, ours batches
with Adam. Both look at the same users, at most 5,000.

``--interactions`` makes a data set with so many draws instead (some meet): everybody has three of
200 tastes, each of which has its own popular items. ``--limit`` ends every training after so many
seconds, on both sides. implicit lives in an environment of its own, made on the first run.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import polars as pl
import torch
import typer
from scipy.sparse import save_npz

from common import NoDataOption, environment, find_data, print_last_line, run_benchmark
from neggen import MF, Dataset, NegGenError
from neggen.cli.output import print_table, say
from neggen.data.readers import read_source
from neggen.data.tables import PARTS
from neggen.models.base import FitContext
from neggen.training.loop import EpochLog

PEER = Path(__file__).parent / "peers" / "implicit_bpr.py"
REQUIREMENTS = ("implicit==0.7.3", "numpy==2.2.6", "scipy==1.15.3")
REGULARIZATION = 0.01
PATIENCE = 5
"""Looks at validation without a better one."""
OUR_RATES, THEIR_RATES = (1e-2, 5e-3, 2e-3), (0.02, 0.05, 0.01)
"""The first where only one is tried."""
OUR_EVERY, THEIR_EVERY, OF_MANY = 2, 10, 2
"""Epochs from one look to the next; the last one is theirs on a made data set."""
TASTES, HELD = 200, 3
PEOPLE = 5_000
"""Whose validation interactions are looked at."""


class Look(NamedTuple):
    """One look at validation: seconds of training until then, and Recall@20."""

    seconds: float
    recall: float


def main(
    data: NoDataOption = None,
    interactions: Annotated[int, typer.Option(help="Make so many instead.")] = 0,
    rates: Annotated[int, typer.Option(min=1, max=3, help="How many each side tries.")] = 3,
    limit: Annotated[float, typer.Option(help="Seconds of training; 0 for no limit.")] = 0,
    batch: Annotated[int, typer.Option(help="Our batch size; 0 takes a 60th of an epoch.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads for each side.")] = 2,
    environments: Annotated[
        Path, typer.Option(help="Where the peer's environment is made and kept.")
    ] = Path("~/.cache/neggen-peers"),
) -> None:
    """Train both with every learning rate and compare the best."""
    torch.set_num_threads(threads)
    if interactions:
        split = make_tastes(interactions).split("random")
    elif data is not None:
        split = read_source(find_data(data, "amazon-baby")).split("given")
    else:
        raise NegGenError("Give --data DATA, or --interactions N.")
    split = looked_at(split)
    size = batch or max(2048, split.train.nnz // 60)
    ours = {rate: train_ours(split, rate, size, limit) for rate in OUR_RATES[:rates]}
    python = environment(environments.expanduser() / "implicit", REQUIREMENTS)
    every = OF_MANY if interactions else THEIR_EVERY
    options = [REGULARIZATION, every, PATIENCE, threads, limit]
    theirs = {rate: train_theirs(split, python, [rate, *options]) for rate in THEIR_RATES[:rates]}
    best = [max(side.values(), key=highest) for side in (ours, theirs)]
    goal = min(highest(looks) for looks in best)
    seconds = [next(look.seconds for look in looks if look.recall >= goal) for looks in best]
    print_table(
        ["", "learning rate", "best validation Recall@20", f"seconds to {goal:.4f}"],
        [
            (name, f"{rate:g}", f"{highest(looks):.4f}", f"{first(looks, goal):.2f}")
            for name, side in (("neggen", ours), ("implicit 0.7.3", theirs))
            for rate, looks in side.items()
        ],
        title=f"BPR, 64 factors, {split.train.nnz:,} training interactions, {threads} threads",
    )
    print_last_line(
        {
            "time_ratio": seconds[0] / seconds[1],
            "seconds": seconds,
            "valid_recall_20": [highest(looks) for looks in best],
        }
    )


def looked_at(data: Dataset) -> Dataset:
    """Leave validation interactions to some users alone; those of others are not used."""
    people = np.flatnonzero(np.diff(data.valid.indptr))
    people = np.random.default_rng(0).permutation(people)[:PEOPLE]
    assert data.parts is not None
    valid, test = PARTS.index("valid"), PARTS.index("test")
    others = (data.parts == valid) & ~np.isin(data.users, people)
    return data.replace(parts=np.where(others, test, data.parts).astype(data.parts.dtype))


class Enough(Exception):
    """The time is over."""


def train_ours(data: Dataset, rate: float, batch: int, limit: float) -> list[Look]:
    """Train ours and return its looks at validation."""
    looks, spent = [], [0.0]

    def note(_: str, log: EpochLog) -> None:
        spent[0] += log.seconds
        if log.valid and log.epoch:
            looks.append(Look(spent[0], log.valid["recall@20"]))
        if limit and looks and spent[0] >= limit:
            raise Enough

    model = MF(
        learning_rate=rate,
        batch_size=batch,
        regularization=REGULARIZATION,
        evaluate_every=OUR_EVERY,
        patience=PATIENCE,
        metric="recall@20",
    )
    with suppress(Enough):
        model.fit(data, FitContext(on_epoch=note))
    say(f"neggen, {rate:g}: {highest(looks):.4f}")
    return looks


def train_theirs(data: Dataset, python: Path, options: list[float]) -> list[Look]:
    """Train implicit's in its environment and return its looks at validation."""
    with tempfile.TemporaryDirectory() as folder:
        save_npz(Path(folder) / "train.npz", data.train)
        save_npz(Path(folder) / "valid.npz", data.valid)
        command = [str(python), str(PEER), folder, *map(str, options)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode or not done.stdout:
        raise NegGenError("implicit's training failed; its error is above.")
    logs = [json.loads(line) for line in done.stdout.splitlines()]
    looks = [Look(log["seconds"], log["recall"]) for log in logs]
    say(f"implicit, {options[0]:g}: {highest(looks):.4f}")
    return looks


def highest(looks: list[Look]) -> float:
    """Return the best figure."""
    return max(look.recall for look in looks)


def first(looks: list[Look], goal: float) -> float:
    """Return the seconds until a figure is reached, or infinity."""
    return next((look.seconds for look in looks if look.recall >= goal), float("inf"))


def make_tastes(interactions: int) -> Dataset:
    """Make users with tastes, 20 interactions each, and items that belong to one taste each."""
    draw = np.random.default_rng(0)
    users, items = interactions // 20, max(4000, interactions // 200)
    person = np.repeat(np.arange(users), 20)
    tastes = draw.integers(TASTES, size=(users, HELD))[
        person, draw.integers(HELD, size=len(person))
    ]
    within = (draw.pareto(1.2, len(person)) * 3).astype(np.int64) % (items // TASTES)
    frame = pl.DataFrame({"user_id": person, "item_id": within * TASTES + tastes}).unique(
        maintain_order=True
    )
    return Dataset.from_frames(frame.cast(pl.String), None)


if __name__ == "__main__":
    run_benchmark(main)
