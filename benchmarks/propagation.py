"""How fast embeddings are smoothed over the graph, beside torch's own sparse products, in one run.

The product Â X of the normalized adjacency of the given training part and embeddings of 64
dimensions: ours (see ``neggen.models.graph.multiply``), torch's CSR and torch's COO. Bandwidth
counts what the product asks for, a row of X an entry, its weight and number, and what it writes; as
a share of that of copying a table of 256 MB. Above 1, caches have served the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Annotated

import torch
import typer
from torch import Tensor

from common import DataOption, DeviceOption, find_data, imported, print_last_line, run_benchmark
from neggen.cli.output import print_table
from neggen.models.graph import multiply, normalized_adjacency

DIM = 64


def main(
    data: DataOption,
    device: DeviceOption = "cpu",
    threads: Annotated[int, typer.Option(help="Threads on a CPU.")] = 2,
    repeats: Annotated[int, typer.Option(help="Timed products of each kind, in turns.")] = 50,
) -> None:
    """Time the product in three ways, in turns."""
    torch.set_num_threads(threads)
    with imported(find_data(data, "amazon-baby"), None) as (_, dataset):
        train = dataset.split("given").train
    adjacency = normalized_adjacency(train, device)
    coo = adjacency.to_sparse_coo().coalesce()
    nodes = torch.randn(adjacency.shape[1], DIM, device=device)
    table = torch.zeros(1 << 26, device=device)
    spare = torch.zeros_like(table)  # a fresh one would be mapped page by page
    ways: dict[str, Callable[[], Tensor]] = {
        "neggen": lambda: multiply(adjacency, nodes),
        "torch CSR": lambda: adjacency @ nodes,
        "torch COO": lambda: torch.sparse.mm(coo, nodes),
        "copy": lambda: spare.copy_(table),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 3):
        for name, way in ways.items():
            seconds[name].append(timed(way, device))
    typical = {name: median(each[3:]) for name, each in seconds.items()}
    entries = adjacency.values().numel()
    asked = entries * (4 * DIM + 8) + 4 * DIM * adjacency.shape[0]  # bytes
    share = asked / typical["neggen"] / (2 * 4 * table.numel() / typical.pop("copy"))
    print_table(
        ["product", "milliseconds", "times neggen's"],
        [(n, f"{1e3 * s:.3f}", f"{s / typical['neggen']:.2f}") for n, s in typical.items()],
        title=f"{adjacency.shape[0]:,} nodes, {entries:,} entries, {DIM} dimensions, {device}",
    )
    figures = {f"{name.split()[-1].lower()}_ms": 1e3 * s for name, s in typical.items()}
    print_last_line({**figures, "bandwidth_share": share, "device": name_of(device)})


def timed(way: Callable[[], Tensor], device: str) -> float:
    """Return the seconds that one call takes."""
    started = time.perf_counter()
    way()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def name_of(device: str) -> str:
    """Return what the device is called."""
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


if __name__ == "__main__":
    run_benchmark(main)
