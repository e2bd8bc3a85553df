"""Training by several processes: is it the same training, and how much faster?

    python benchmarks/distributed.py
    python benchmarks/distributed.py --processes 3 --steps 500

The same models are trained on the built-in shop by one process and by several that meet by gloo on
the loopback, at the same batches, with one thread each. ``difference`` is the largest difference of
the loss of a step, over all steps; of several processes, it is the mean over their rows. ``a
second`` are the steps without validation, by the clock; ``ratio`` is that of several processes to
that of one. Where other programs want the cores too, ``work`` tells more: the processor time that
one process needs for all, validation included, over that of the busiest of several. It is how much
faster they would be if nobody ever waited.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from common import NoDataOption, described_shop, print_last_line, run_benchmark
from neggen import EASE, Dataset, NegGenError, Workspace
from neggen.cli.output import console, print_table
from neggen.config import LightGCNConfig, MFConfig, NegGenConfig, SplitConfig, TrainConfig
from neggen.data.store import load_dataset
from neggen.models.lightgcn import LightGCNModule
from neggen.models.mf import MFModule
from neggen.models.neggen_module import NegGenModule
from neggen.negatives import sampler_config
from neggen.runs import with_vectors
from neggen.training.distributed import joined
from neggen.training.loop import train
from neggen.training.trainable import Trainable

SOFTMAX: dict[str, Any] = {"sampler": {"name": "uniform", "negatives": 256}, "loss": "ssm"}
IN_BATCH: dict[str, Any] = {"sampler": "in-batch", "loss": "ssm"}
BATCH = 1024


def modules(data: Dataset, common: dict[str, Any]) -> Iterator[tuple[str, Trainable, TrainConfig]]:
    """Yield what is trained, each with its settings."""
    plain, softmax = MFConfig(**common), MFConfig(**common, **SOFTMAX)
    yield "mf", MFModule(data.train, plain), plain
    yield "mf, 256 negatives", MFModule(data.train, softmax), softmax
    for name, changes in {"lightgcn": {}, "lightgcn, in-batch": IN_BATCH}.items():
        graph = LightGCNConfig(**common, **changes)
        yield name, LightGCNModule(data.train, graph), graph
    causal = NegGenConfig(**common)
    yield "neggen", NegGenModule(data, EASE().fit(data), causal), causal


def work(folder: Path, steps: int) -> None:
    """Train as one process of those that there are, and write down the loss of every step."""
    torch.set_num_threads(1)
    workspace = Workspace(folder / "workspace")
    data = with_vectors(workspace, load_dataset(workspace, SplitConfig()))
    epochs = max(1, steps // -(-data.train.nnz // BATCH))
    common = {"batch_size": BATCH, "epochs": epochs, "patience": epochs + 1, "evaluate_every": 10}
    found = {}
    with joined("cpu"):
        for name, module, config in modules(data, common):
            cls, sampler = sampler_config(config.sampler)  # type: ignore[attr-defined]
            module.sampler = cls(sampler, data)
            losses = recorded(module)
            started = time.process_time()
            history = train(module, data.train, data.valid, config).history
            found[name] = {
                "losses": losses,
                "training": sum(log.seconds for log in history),
                "work": time.process_time() - started,
            }
    rank, count = (os.environ.get(name, "0") for name in ("RANK", "WORLD_SIZE"))
    (folder / f"{count}-{rank}.json").write_text(json.dumps(found))


def recorded(module: Trainable) -> list[tuple[int, float]]:
    """Have a module keep the rows and the loss of every step in the list that is returned."""
    losses: list[tuple[int, float]] = []
    original = module.loss

    def loss(batch: Any, generator: torch.Generator) -> torch.Tensor:
        value = original(batch, generator)
        losses.append((len(batch.users), float(value)))
        return value

    module.loss = loss  # type: ignore[method-assign]
    return losses


def main(
    data: NoDataOption = None,
    processes: Annotated[int, typer.Option(min=2, help="How many train together.")] = 2,
    items: Annotated[int, typer.Option(min=56, help="In the shop.")] = 200,
    users: Annotated[int, typer.Option(min=20, help="Of the shop.")] = 600,
    steps: Annotated[int, typer.Option(min=1, help="Of every training, about.")] = 50,
    work_in: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Train with one process and with several, and compare every step."""
    if work_in is not None:
        work(work_in, steps)
        return
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as name:
        folder = Path(name)
        with console.status("Describing a shop"):
            described_shop(folder / "workspace", items, users)
        own = [__file__, "--work-in", str(folder), "--steps", str(steps)]
        team = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        for title, command in {"one process": own, f"{processes} processes": team + own}.items():
            with console.status(f"Training with {title}"):
                start(command)
        alone = read(folder, "0")[0]
        together = read(folder, str(processes))
    rows, worst, ratios = [], 0.0, {}
    for model, one in alone.items():
        several = [each[model] for each in together]
        difference = np.abs(steps_of([one]) - steps_of(several))
        worst = max(worst, float(difference.max()))
        count = len(difference)
        before, after = count / one["training"], count / several[0]["training"]
        work_ratio = one["work"] / max(each["work"] for each in several)
        ratios[model] = {"steps": after / before, "work": work_ratio}
        told = [f"{count}", f"{difference.max():.1e}", f"{before:.1f}", f"{after:.1f}"]
        rows.append([model, *told, f"{after / before:.2f}", f"{work_ratio:.2f}"])
    columns = ["model", "steps", "difference", "a second, one", f"a second, {processes}"]
    print_table([*columns, "ratio", "work"], rows, title=f"1 and {processes} processes")
    print_last_line({"max_loss_difference": worst, "processes": processes, "ratios": ratios})


def start(command: list[str]) -> None:
    """Run a Python command to its end, with one thread a process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True
    )
    if ended.returncode:
        raise NegGenError(f"The training failed: {ended.stderr}")


def read(folder: Path, count: str) -> list[dict[str, Any]]:
    """Return what every process of a training has written."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{count}-*.json"))]


def steps_of(processes: list[dict[str, Any]]) -> np.ndarray:
    """Return the loss of every step, the mean over the rows of all processes, ``[steps]``."""
    told = np.array([each["losses"] for each in processes])  # [processes, steps, rows and loss]
    return (told[..., 0] * told[..., 1]).sum(0) / told[..., 0].sum(0)


if __name__ == "__main__":
    run_benchmark(main)
