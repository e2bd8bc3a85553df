"""A catalogue a thousand times larger: how long does each stage take, and how much memory?

    python benchmarks/scale.py                                # half a million, 5 and 50 million
    python benchmarks/scale.py --size 0.5 --size 5 --folder F

Interactions of made-up people are written as Parquet: popularity falls off by a power law, a few
people use very much, no pair occurs twice, ids are text, rows are in the order of time. Users and
items grow along, to 1,000,000 users and 500,000 items. Then come the stages that real data go
through, each in a process of its own, from the files that the one before has written: their time,
and the most resident memory of their process, with every library in it.

The steps of training grow with the data, so that every size takes the same number of them. The
last line tells the highest memory and the exponent of the growth of time: 1 is in proportion.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import pyarrow as pa
import torch
import typer
from pyarrow import parquet

from common import NoDataOption, print_last_line, run_benchmark, run_measured
from neggen import NegGenError, Workspace
from neggen.cli.output import print_table, say
from neggen.config import LightGCNConfig, MFConfig, SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.split import TEST, VALID
from neggen.data.store import load_dataset
from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.lightgcn import LightGCNModule
from neggen.models.mf import MF
from neggen.negatives.base import Batch
from neggen.negatives.uniform import Uniform

MILLION = 1_000_000
PER_USER, PER_ITEM = 50, 100
"""Interactions a user and an item, on average."""
ROWS_AT_ONCE = 2_000_000
STEPS_AN_EPOCH = 100
VALIDATED, EVALUATED = 500, 2000
"""Users who validate, and users who are ranked, against all items."""
SPLIT = SplitConfig(seed=0)
STAGES = ("import", "split", "load", "mf", "lightgcn", "evaluate")


@dataclass(frozen=True)
class Stage:
    """What one stage of one size took."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_gb: float


def main(
    size: Annotated[
        list[float] | None, typer.Option(help="Millions of interactions. Repeatable.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Scratch; data in it are kept.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these stages, on what is there. Repeatable.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of LightGCN.")] = 20,
    stage: Annotated[str | None, typer.Option(hidden=True)] = None,
    data: NoDataOption = None,
) -> None:
    """Make, import, split, load, train on and evaluate interactions of several sizes."""
    if stage is not None:
        assert folder is not None  # the parent gave it
        run_stage(stage, folder, steps)
        return
    sizes = sorted(round(millions * MILLION) for millions in size or (0.5, 5, 50))
    wanted = tuple(only or STAGES)
    if unknown := set(wanted) - set(STAGES):
        raise NegGenError(f"There is no stage {', '.join(unknown)}; take {', '.join(STAGES)}.")
    with scratch(folder) as place:
        found = {count: measured(place / str(count), count, wanted, steps) for count in sizes}
    rows = [
        [
            f"{count:,}",
            stage.name,
            f"{stage.seconds:,.1f}",
            f"{stage.cpu_seconds:,.1f}",
            f"{stage.peak_gb:.2f}",
        ]
        for count, stages in found.items()
        for stage in stages
    ]
    print_table(["interactions", "stage", "seconds", "CPU seconds", "peak GB"], rows)
    totals = {count: sum(stage.seconds for stage in stages) for count, stages in found.items()}
    worked = {count: sum(stage.cpu_seconds for stage in stages) for count, stages in found.items()}
    peak = max(stage.peak_gb for stages in found.values() for stage in stages)
    figures = {
        "peak_gb": round(peak, 2),
        "exponent": exponent(totals),
        "cpu_exponent": exponent(worked),
        "seconds": {str(count): round(total, 1) for count, total in totals.items()},
    }
    print_last_line(figures)


def exponent(totals: dict[int, float]) -> float | None:
    """Return the slope of log seconds over log interactions; None of a single size."""
    if len(totals) < 2:
        return None
    slope = np.polyfit(np.log(list(totals)), np.log(list(totals.values())), 1)[0]
    return round(float(slope), 3)


@contextmanager
def scratch(folder: Path | None) -> Iterator[Path]:
    """Yield ``folder``, or a temporary one that is gone afterwards."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as temporary:
        yield Path(temporary)


def measured(folder: Path, count: int, wanted: tuple[str, ...], steps: int) -> list[Stage]:
    """Run the stages one after the other, each in a process."""
    if not (folder / "source" / "interactions.parquet").is_file():
        say(f"Making {count:,} interactions")
        in_process(
            "make", folder, steps
        )  # whose memory the system would count as that of later ones
    stages = []
    for name in wanted:
        stages.append(in_process(name, folder, steps))
        say(f"{count:,} {name}: {stages[-1].seconds:.1f} s, {stages[-1].peak_gb:.2f} GB")
    return stages


def in_process(name: str, folder: Path, steps: int) -> Stage:
    """Run a stage; its process prints its seconds, and the system tells its memory."""
    command = [sys.executable, __file__, "--stage", name, "--folder", str(folder)]
    command += ["--steps", str(steps)]
    if name == "import":
        shutil.rmtree(folder / "workspace", ignore_errors=True)
        paths = [str(folder / "source"), str(folder / "workspace")]
        command = [sys.executable, "-m", "neggen.cli", "import", *paths, "--json"]
    told, used = run_measured(command)
    return Stage(
        name,
        told.get("seconds", used.seconds),
        told.get("cpu_seconds", used.cpu_seconds),
        used.peak_mib * 2**20 / 1e9,
    )


# -- data ---------------------------------------------------------------------------------------


def make(folder: Path, count: int, seed: int = 0) -> None:
    """Write ``interactions.parquet`` with ``count`` rows, and ``items.parquet``."""
    rng = np.random.default_rng(seed)
    users, items = count // PER_USER, count // PER_ITEM
    pairs = distinct_pairs(users, items, count, rng)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.arange(items)
    title = pl.format("Thing {} of kind {}", pl.lit(numbers), pl.lit(numbers % 97))
    table = pl.select(item_id=ids(numbers, "B", 9), title=title)
    table.write_parquet(folder / "items.parquet")
    unfinished = folder / "interactions.unfinished"
    schema = pa.schema(
        {"user_id": pa.string(), "item_id": pa.string(), "timestamp": pa.int64()}.items()
    )
    with parquet.ParquetWriter(unfinished, schema) as writer:
        for start in range(0, count, ROWS_AT_ONCE):
            chunk = pairs[start : start + ROWS_AT_ONCE]
            user, item = np.divmod(chunk, items)
            log = pl.select(
                user_id=ids(user, "A", 13),
                item_id=ids(item, "B", 9),
                timestamp=pl.lit(start + np.arange(len(chunk)) + 1_600_000_000),
            )
            writer.write_table(log.to_arrow().cast(schema))
    unfinished.rename(folder / "interactions.parquet")


def distinct_pairs(
    users: int, items: int, count: int, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return ``count`` different pairs in any order as user · items + item, int64 ``[count]``."""
    pairs = np.empty(0, dtype=np.int64)
    activity = rng.lognormal(sigma=1.1, size=users)
    while len(pairs) < count:
        often = rng.poisson(activity * (1.1 * count / activity.sum()))
        user = np.repeat(np.arange(users), often)
        # P(rank below r) = (r / items)^0.4, the law of Zipf with the exponent 0.6.
        item = (items * rng.random(len(user)) ** 2.5).astype(np.int64)
        pairs = np.sort(np.concatenate([pairs, user * items + item]))
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]
    rng.shuffle(pairs)
    return pairs[:count]


def ids(numbers: np.ndarray[tuple[int], np.dtype[np.int64]], letter: str, digits: int) -> pl.Expr:
    """Return numbers as text of one length, as shops write them."""
    return pl.lit(letter) + pl.lit(numbers).cast(pl.String).str.zfill(digits)


# -- stages -------------------------------------------------------------------------------------


def run_stage(name: str, folder: Path, steps: int) -> None:
    """Do the work of a stage in this process and print its seconds."""
    torch.set_num_threads(os.cpu_count() or 1)
    if name == "make":
        make(folder / "source", int(folder.name))
        return
    begun, worked = time.perf_counter(), time.process_time()
    if name == "split":
        split(folder)
    elif name == "load":
        load(folder)
    elif name == "mf":
        factorize(folder)
    elif name == "lightgcn":
        propagate(folder, steps)
    else:
        evaluate(folder)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - worked
    print_last_line({"seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3)})


def loaded(folder: Path) -> Dataset:
    return load_dataset(Workspace.open(folder / "workspace"), SPLIT)


def split(folder: Path) -> None:
    """Draw a split and keep it."""
    for kept in (folder / "workspace" / "splits").glob("*"):
        kept.unlink()
    loaded(folder)


def load(folder: Path) -> None:
    """Read the workspace and lay the parts out as sparse matrices."""
    data = loaded(folder)
    entries = sum(data.matrix(name).nnz for name in ("train", "valid", "test"))
    if entries != len(data.users):
        raise NegGenError(f"{entries:,} entries of {len(data.users):,} are in a matrix.")


def factorize(folder: Path) -> None:
    """Train matrix factorization for one epoch, validated on a sample of users, and save it."""
    data = loaded(folder)
    assert data.parts is not None
    validates = np.zeros(data.shape[0], dtype=bool)
    validates[np.unique(data.users[data.parts == VALID])[:VALIDATED]] = True
    others = (data.parts == VALID) & ~validates[data.users]
    data = data.replace(parts=np.where(others, np.uint8(TEST), data.parts))
    batch_size = max(1, len(data.users) // STEPS_AN_EPOCH)
    model = MF(MFConfig(epochs=1, batch_size=batch_size, evaluate_every=1)).fit(data)
    model.save(folder / "mf")


def propagate(folder: Path, steps: int) -> None:
    """Take some steps of LightGCN over the whole graph."""
    data = loaded(folder)
    config = LightGCNConfig(batch_size=max(1, len(data.users) // STEPS_AN_EPOCH))
    module = LightGCNModule(data.train, config)
    module.sampler = Uniform(Uniform.config_class(), data)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(module.parameters(), lr=config.learning_rate, fused=True)
    edges = data.train.tocoo()
    for _ in range(steps):
        index = torch.randint(edges.nnz, (config.batch_size,), generator=generator).numpy()
        users, positives = (torch.from_numpy(side[index]).long() for side in (edges.row, edges.col))
        negatives = module.sampler.propose(users, positives, generator)
        loss = module.loss(Batch(users, positives, negatives), generator)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def evaluate(folder: Path) -> None:
    """Rank all items for some users with the trained model, and recommend to some of them."""
    data = loaded(folder)
    model = MF.load(folder / "mf")
    users = np.flatnonzero(np.diff(data.test.indptr))[:EVALUATED]
    target = data.test.copy()
    target.data[target.indptr[users[-1] + 1] :] = 0
    target.eliminate_zeros()
    evaluate_ranking(model.score_index, data.train, target)
    model.recommend(data.user_ids[users[:20]].to_list())


if __name__ == "__main__":
    run_benchmark(main)
