"""Embeddings too large for one process: matrix factorization with its rows divided over processes.

    python benchmarks/sharded.py
    python benchmarks/sharded.py --nodes 2000000 --processes 4

A prototype, not a model of the library. Row r of the table of embeddings, and Adam's two moments of
it, live in process r mod P alone. A step asks the owners for the rows of this process's share of
the batch (all-to-all), computes loss and gradients on them, and sends the gradients back
(all-to-all); every owner adds them up and moves its rows. Nothing else has the size of the table.

It is compared with the whole table in every process, whose gradients are added up (all-reduce), as
``neggen train`` under torchrun does it, and with one process, at the same batches. ``difference``
is the largest difference of the loss of a step from that of one process; ``memory`` is what
embeddings, moments and gradients take in each process; ``sent`` is what a process sends a step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
import typer
from torch import Tensor

from common import NoDataOption, print_last_line, run_benchmark
from neggen import NegGenError
from neggen.cli.output import console, print_table
from neggen.training.distributed import add_up, joined

LEARNING_RATE, REGULARIZATION = 1e-2, 1e-2
MEGABYTE = 1 << 20


class Whole:
    """The whole table in every process; gradients are added up."""

    def __init__(self, nodes: int, dim: int, rank: int, count: int) -> None:
        self.table = torch.nn.Parameter(rows_at_start(torch.arange(nodes), dim))
        self.optimizer = torch.optim.Adam([self.table], lr=LEARNING_RATE, fused=True)
        self.sent = 2 * (count - 1) / count * self.table.numel() * 4

    def step(self, rows: Tensor, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Look rows up, int64 ``[rows]``, learn from their loss, and return it."""
        self.optimizer.zero_grad()
        loss = loss_of(F.embedding(rows, self.table))
        loss.backward()
        add_up([self.table.grad])
        self.optimizer.step()
        return loss.detach()


class Sharded:
    """Row r in process r mod P, as its row r // P; others ask for it and send gradients back."""

    def __init__(self, nodes: int, dim: int, rank: int, count: int) -> None:
        self.count = count
        self.table = torch.nn.Parameter(rows_at_start(torch.arange(rank, nodes, count), dim))
        self.optimizer = torch.optim.Adam([self.table], lr=LEARNING_RATE, fused=True)
        self.sent = 0.0

    def step(self, rows: Tensor, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Look rows up, int64 ``[rows]``, learn from their loss, and return it."""
        wanted, place = torch.unique(rows, return_inverse=True)  # each row is asked for once
        owner = wanted % self.count
        by_owner = owner.argsort(stable=True)  # [wanted]
        asking = owner.bincount(minlength=self.count)  # [processes]
        asked = torch.empty_like(asking)
        dist.all_to_all_single(asked, asking)
        ask, answer = asking.tolist(), asked.tolist()

        local = exchange(wanted[by_owner] // self.count, ask, answer)  # rows that others want here
        answers = exchange(self.table.detach()[local], answer, ask)  # [wanted, d]
        found = torch.empty_like(answers)
        found[by_owner] = answers
        found.requires_grad_()
        loss = loss_of(F.embedding(place, found))
        loss.backward()

        gradients = exchange(found.grad[by_owner], ask, answer)
        self.table.grad = torch.zeros_like(self.table).index_add_(0, local, gradients)
        self.optimizer.step()
        numbers = gradients.shape[1] * (sum(answer) + sum(ask))  # embeddings out, gradients out
        self.sent = 4 * numbers * (self.count - 1) / self.count  # on average; its own stay here
        return loss.detach()


def exchange(values: Tensor, sizes: list[int], expected: list[int]) -> Tensor:
    """Send the first ``sizes[0]`` rows to process 0 and so on; return the rows that come here."""
    received = values.new_empty(sum(expected), *values.shape[1:])
    dist.all_to_all_single(received, values.contiguous(), expected, sizes)
    return received


def rows_at_start(rows: Tensor, dim: int) -> Tensor:
    """Return initial embeddings that depend on the number of a row alone, ``[rows, d]``."""
    phase = rows[:, None].double() * 0.754877666 + torch.arange(dim).double() * 0.569840291
    return (0.2 * (phase % 1 - 0.5)).float()


def loss_of(found: Tensor, rows: int) -> Tensor:
    """Return BPR with λ, divided by the rows of the whole batch; found is ``[3 · share, d]``."""
    users, positives, negatives = found.chunk(3)
    margin = (users * (positives - negatives)).sum(1)
    penalty = REGULARIZATION / 2 * found.square().sum()
    return (F.softplus(-margin).sum() + penalty) / rows


def work(kind: str, folder: Path, nodes: int, dim: int, batch: int, steps: int) -> None:
    """Train as one process of those that there are, and write down what happened."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    with joined("cpu"):
        rank, count = dist.get_rank(), dist.get_world_size()
        table = (Sharded if kind == "sharded" else Whole)(nodes, dim, rank, count)
        losses, seconds = [], []
        for _ in range(steps):
            # Two thirds of the rows are items; squares make some more popular than others.
            drawn = torch.rand(3, batch, generator=generator, dtype=torch.float64)
            users = (drawn[0] * (nodes // 3)).long()
            items = nodes // 3 + (drawn[1:] ** 2 * (nodes - nodes // 3)).long()  # [2, batch]
            triples = torch.cat([users[None], items])  # [3, batch]
            own = triples.tensor_split(count, dim=1)[rank].flatten()
            dist.barrier()
            started = time.perf_counter()
            loss = table.step(own, lambda found: loss_of(found, batch))
            seconds.append(time.perf_counter() - started)
            add_up([loss])
            losses.append(float(loss))
    held = [table.table, table.table.grad, *table.optimizer.state[table.table].values()]
    told = {
        "losses": losses,
        "seconds": float(np.median(seconds)),
        "bytes": sum(each.numel() * each.element_size() for each in held if each is not None),
        "sent": table.sent,
    }
    (folder / f"{kind}-{count}-{rank}.json").write_text(json.dumps(told))


def main(
    data: NoDataOption = None,
    processes: Annotated[int, typer.Option(min=2, help="Over which rows are divided.")] = 2,
    nodes: Annotated[int, typer.Option(min=3, help="Rows: users and items.")] = 200_000,
    dim: Annotated[int, typer.Option(min=1, help="Width of a row.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Interactions in a step.")] = 2048,
    steps: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    kind: Annotated[str | None, typer.Option(hidden=True)] = None,
    folder: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Train with divided and with whole tables, and compare loss, memory and time."""
    if kind is not None and folder is not None:
        work(kind, folder, nodes, dim, batch, steps)
        return
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as name:
        sizes = {"nodes": nodes, "dim": dim, "batch": batch, "steps": steps}
        found = {
            (how, count): measured(how, count, Path(name), sizes)
            for how, count in (("whole", 1), ("whole", processes), ("sharded", processes))
        }
    expected = np.array(found["whole", 1][0]["losses"])
    rows, last = [], {}
    for (how, count), told in found.items():
        difference = float(np.abs(np.array(told[0]["losses"]) - expected).max())
        memory = max(each["bytes"] for each in told) / MEGABYTE
        milliseconds = 1000 * max(each["seconds"] for each in told)
        sent = max(each["sent"] for each in told) / MEGABYTE
        figures = [f"{difference:.1e}", f"{memory:.1f}", f"{milliseconds:.1f}", f"{sent:.2f}"]
        rows.append([how, str(count), *figures])
        last |= {f"{how}_{count}_mb": round(memory, 1), f"{how}_{count}_ms": round(milliseconds, 1)}
    columns = ["table", "processes", "difference", "memory, MB", "a step, ms", "sent, MB"]
    print_table(columns, rows, title=f"{nodes:,} rows of {dim}, batches of {batch}, {steps} steps")
    print_last_line({"max_loss_difference": max(float(row[2]) for row in rows), **last})


def measured(kind: str, count: int, folder: Path, sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Run one kind of table in ``count`` processes, and return what each has written."""
    options = [f"--{name}={value}" for name, value in sizes.items()]
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    with console.status(f"A {kind} table in {count} processes"):
        ended = subprocess.run(
            [sys.executable, *launch, __file__, f"--kind={kind}", f"--folder={folder}", *options],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    if ended.returncode:
        raise NegGenError(f"The training failed: {ended.stderr}")
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{kind}-{count}-*.json"))]


if __name__ == "__main__":
    run_benchmark(main)
