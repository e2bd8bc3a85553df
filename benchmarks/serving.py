"""A server under load, with 100,000 items: how long answers take, and what a swap of models costs.

A made-up factor model is served by ``neggen serve`` in a process of its own. Requests start at a
fixed pace whether or not earlier ones are answered (open loop), and a request's time counts from
when it was due, so that a server that stalls cannot hide it. In the second half of the table,
another run is loaded and swapped in meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import numpy as np
import polars as pl
import torch
import typer

from common import NoDataOption, print_last_line, run_benchmark
from neggen import MF
from neggen.cli.output import print_table, say
from neggen.config import SplitConfig
from neggen.data.indexing import incidence
from neggen.errors import NegGenError
from neggen.workspace import write_toml

DIM = 64
GROUPS = 500
"""Kinds of items; vectors without any structure would be no catalogue's."""
HISTORY = 30
AFTER_SWAP = 3.0
"""Seconds of load after the new model is there."""


def made_up_run(folder: Path, users: int, items: int, seed: int) -> None:
    """Write a run of a factor model that nobody trained."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((GROUPS, DIM))
    norms = rng.lognormal(0, 0.3, (items, 1))  # some items are popular
    item_vectors = centers[rng.integers(GROUPS, size=items)] + rng.standard_normal((items, DIM))
    user_vectors = centers[rng.integers(GROUPS, size=users)] + rng.standard_normal((users, DIM))
    model = MF(dim=DIM)
    model.user_ids = pl.Series([f"u{n}" for n in range(users)])
    model.item_ids = pl.Series([f"i{n}" for n in range(items)])
    used = rng.integers(items, size=users * HISTORY).astype(np.int32)
    who = np.repeat(np.arange(users, dtype=np.int32), HISTORY)
    model._seen = incidence(who, used, (users, items))
    model.user_embeddings = torch.from_numpy(user_vectors.astype(np.float32))
    model.item_embeddings = torch.from_numpy((item_vectors * norms).astype(np.float32))
    model.fold_in = torch.eye(DIM)
    model.save(folder / "model")
    manifest = {"model": "mf", "settings": model.config.identity(), "content_hash": "made up"}
    split = SplitConfig().model_dump()
    write_toml(folder / "run.toml", {**manifest, "split": split, "seconds": 0.0})


@contextmanager
def served(run: Path, index: str, log: Path) -> Iterator[str]:
    """Serve a run meanwhile; yields the address.

    Raises:
        NegGenError: If the server ends before it says where it is.
    """
    command = [sys.executable, "-m", "neggen.cli", "serve", str(run), "--port", "0"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, "--index", index, "--drain", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert process.stdout is not None  # it is a pipe
        try:
            if not (address := process.stdout.readline().strip()):
                process.wait()
                raise NegGenError(f"The server could not start: {log.read_text().strip()}")
            yield address
        finally:
            process.terminate()
            process.communicate()


async def drive(
    address: str, users: int, rate: float, seconds: float, swap_to: str | None
) -> dict[str, Any]:
    """Ask at a fixed pace, and swap the model in the middle if that is wanted."""
    rng = np.random.default_rng(0)
    times: list[float] = []
    failed: list[str] = []
    tasks: set[asyncio.Task[None]] = set()
    connections = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(address, connector=connections, timeout=timeout) as session:

        async def ask(due: float) -> None:
            body = {"user_id": f"u{rng.integers(users)}", "k": 20}
            try:
                async with session.post("/v1/recommend", json=body) as response:
                    answer = await response.json()
                    if response.status != 200 or len(answer["items"]) != 20:
                        failed.append(f"{response.status} {answer}")
            except (aiohttp.ClientError, TimeoutError) as error:
                failed.append(repr(error))
            times.append(time.perf_counter() - due)

        async def swap() -> float:
            await asyncio.sleep(seconds / 2)
            started = time.perf_counter()
            long = aiohttp.ClientTimeout(total=600)
            async with session.post(
                "/v1/admin/reload", json={"run": swap_to}, timeout=long
            ) as response:
                response.raise_for_status()
            return time.perf_counter() - started

        swapping = asyncio.create_task(swap()) if swap_to else None
        started, number = time.perf_counter(), 0
        end = started + seconds
        while (due := started + number / rate) < end:
            if swapping is not None:
                end = due + AFTER_SWAP if not swapping.done() else end
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.add(task := asyncio.create_task(ask(due)))
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.gather(*tasks)
        async with session.get("/v1/model") as response:
            model = await response.json()
    p50, p95, p99 = (float(each) for each in 1000 * np.percentile(times, (50, 95, 99)))
    return {
        "requests": len(times),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "errors": len(failed),
        "first": failed[:1],
        "recall": model["index"]["recall"],
        "version": model["version"],
        "swap_seconds": await swapping if swapping else None,
    }


def main(
    data: NoDataOption = None,
    items: Annotated[int, typer.Option(help="Items of the catalogue.")] = 100_000,
    users: Annotated[int, typer.Option(help="Users of the model.")] = 20_000,
    rate: Annotated[float, typer.Option(help="Requests a second.")] = 200.0,
    seconds: Annotated[float, typer.Option(help="Seconds of load for each row.")] = 20.0,
) -> None:
    """Load a server with requests, without and with a swap of models."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as temporary:
        root = Path(temporary)
        for seed, name in enumerate(("first", "second")):
            made_up_run(root / name, users, items, seed)
        for index in ("exact", "hnsw"):
            say(f"{index}: {rate:g} requests a second for {seconds:g} s, then again with a swap")
            with served(root / "first", index, root / f"{index}.log") as address:
                asyncio.run(drive(address, users, rate, 3.0, None))  # warm
                found[index] = asyncio.run(drive(address, users, rate, seconds, None))
                swapped = asyncio.run(drive(address, users, rate, seconds, "second"))
                found[f"{index}, swapping"] = swapped
                assert swapped["version"].startswith("second@")
    print_table(
        ["index", "requests", "p50 ms", "p95 ms", "p99 ms", "errors", "recall@20", "swap s"],
        [
            [
                name,
                f"{row['requests']:,}",
                *(f"{row[p]:.1f}" for p in ("p50", "p95", "p99")),
                str(row["errors"]),
                f"{row['recall']:.4f}",
                "" if row["swap_seconds"] is None else f"{row['swap_seconds']:.1f}",
            ]
            for name, row in found.items()
        ],
        title=f"{items:,} items, {rate:g} requests a second",
    )
    for row in found.values():
        for first in row["first"]:
            say(f"First error: {json.dumps(first)}")
    print_last_line(
        {
            "p99_ms": round(found["exact"]["p99"], 2),
            "p99_hnsw_ms": round(found["hnsw"]["p99"], 2),
            "errors": found["exact"]["errors"] + found["hnsw"]["errors"],
            "swap_errors": sum(row["errors"] for n, row in found.items() if "swapping" in n),
            "index_recall": round(found["hnsw"]["recall"], 4),
        }
    )


if __name__ == "__main__":
    run_benchmark(main)
