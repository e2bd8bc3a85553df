"""What drawing negatives costs of a LightGCN training step, one epoch each, samplers in turns.

Two layers, 64 dimensions, batches of 2,048. A step is proposing, choosing, the loss, its gradient
and the optimizer; ``uniform_share`` is what proposing takes of it under uniform sampling. The
overhead of another sampler is what its epoch takes longer than one of uniform sampling.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Annotated, Any

import torch
import typer

from common import DataOption, DeviceOption, find_data, imported, print_last_line, run_benchmark
from neggen import Dataset
from neggen.cli.output import print_table
from neggen.config import LightGCNConfig
from neggen.models.lightgcn import LightGCNModule
from neggen.negatives import sampler_config
from neggen.training.loop import train

SAMPLERS: dict[str, dict[str, Any]] = {
    "uniform": {"name": "uniform"},
    "popularity": {"name": "popularity"},
    "dns(16)": {"name": "dns", "candidates": 16},
    "mixgcf(16)": {"name": "mixgcf", "candidates": 16},
    "srns": {"name": "srns"},
    "ahns": {"name": "ahns"},
    "dens": {"name": "dens"},
    "ans": {"name": "ans"},
}


def main(
    data: DataOption,
    device: DeviceOption = "cpu",
    threads: Annotated[int, typer.Option(help="Threads on a CPU.")] = 2,
    epochs: Annotated[int, typer.Option(help="Timed epochs of each sampler.")] = 5,
) -> None:
    """Time epochs with every sampler."""
    torch.set_num_threads(threads)
    with imported(find_data(data, "amazon-baby"), None) as (_, dataset):
        dataset = dataset.split("given")
        seconds: dict[str, list[float]] = {name: [] for name in SAMPLERS}
        proposing: dict[str, list[float]] = {name: [] for name in SAMPLERS}
        for _ in range(epochs + 1):
            for name, settings in SAMPLERS.items():
                whole, proposed = epoch(dataset, settings, device)
                seconds[name].append(whole)
                proposing[name].append(proposed)
    typical = {name: median(each[1:]) for name, each in seconds.items()}
    shares = {name: median(each[1:]) / typical[name] for name, each in proposing.items()}
    overhead = {name: each / typical["uniform"] - 1 for name, each in typical.items()}
    print_table(
        ["sampler", "seconds an epoch", "over uniform", "of it proposing"],
        [
            (name, f"{typical[name]:.3f}", f"{overhead[name]:+.0%}", f"{shares[name]:.1%}")
            for name in SAMPLERS
        ],
        title=f"LightGCN, 2 layers, batches of 2,048, on {device}",
    )
    print_last_line(
        {
            "uniform_share": shares["uniform"],
            "dns_overhead": overhead["dns(16)"],
            "mixgcf_overhead": overhead["mixgcf(16)"],
            "overheads": overhead,
        }
    )


def epoch(data: Dataset, settings: dict[str, Any], device: str) -> tuple[float, float]:
    """Train for one epoch, and return its seconds and those of them spent in proposing."""
    config = LightGCNConfig(layers=2, sampler=settings, epochs=1, evaluate_every=1, device=device)
    module = LightGCNModule(data.train, config)
    cls, own = sampler_config(config.sampler)
    sampler = module.sampler = cls(own, data, device)
    sampler.prepare(config.dim, config.seed)
    spent, propose = [0.0], sampler.propose

    def timed(*arguments: torch.Tensor | torch.Generator) -> torch.Tensor:
        started = now(device)
        found = propose(*arguments)  # type: ignore[arg-type]
        spent[0] += now(device) - started
        return found

    sampler.propose = timed  # type: ignore[assignment]
    state = train(module, data.train, data.valid, config)
    return state.history[-1].seconds, spent[0]


def now(device: str) -> float:
    """Return the time, once the device has done what it was told."""
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    run_benchmark(main)
