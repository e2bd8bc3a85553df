"""The whole of generation against the bare client, and its memory for ten times the items.

    python benchmarks/generation_throughput.py

A scripted server answers every call after 50 ms. Side by side in the same run, alternating, are
``generate`` with journal and records, and a bare loop over ``AsyncOpenAI`` on aiohttp that sends
the very same bodies and keeps nothing. ``ratio_64`` and ``ratio_256`` are our calls a second over
theirs with so many calls at once: the median over rounds.

``memory_growth`` is the peak memory (resident set, on Linux) of a process that generates for
100,000 items over that of one for 10,000, with answers made up in the process.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from aiohttp import web
from openai import AsyncOpenAI, DefaultAioHttpClient

from common import NoDataOption, print_last_line, program, run_benchmark, titled_items
from neggen import Dataset, NegGenError, Workspace
from neggen.cli.output import console, counting, print_table
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.run import generate
from neggen.testing.chat_server import chat_app
from neggen.testing.serving import serve_in_thread

DELAY = 0.05
CONCURRENCIES = (64, 256)
FEW, MANY = 10_000, 100_000
MODEL = "scripted"

GENERATE = textwrap.dedent(
    """
    import json, sys, tempfile
    from pathlib import Path
    import polars as pl
    from neggen.data.dataset import Dataset
    from neggen.generation.requests import Completion
    from neggen.generation.run import generate
    from neggen.workspace import Workspace

    class Instant:
        name, model, parameters, finished = "instant", None, {}, False

        async def complete(self, request):
            marked = f"A [plain] mug with the number [{request.item_id[1:]}]."
            replacements = ["ornate", f"{request.item_id[2:]} and some more"]
            return Completion(json.dumps({"marked": marked, "replacements": replacements}))

        async def close(self):
            pass

    def peak():
        # Not getrusage: there a new process begins with the peak of the one that started it.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(line.split()[1] for line in lines if line.startswith("VmHWM:"))

    count = int(sys.argv[1])
    ids = [f"i{number:07}" for number in range(count)]
    items = pl.DataFrame({"item_id": ids, "title": [f"Thing number {name}" for name in ids]})
    log = pl.DataFrame({"user_id": ["u"] * count, "item_id": ids})
    data = Dataset.from_frames(log, items)
    del items, log, ids
    before = peak()
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as folder:
        summary = generate(Workspace(folder), data, Instant(), concurrency=64)
    assert summary.modalities["text"].valid == count
    print(before, peak(), round(summary.seconds, 1))
    """
)
"""Prints the peak memory before and after generating, in KiB, and the seconds it took."""


def main(
    data: NoDataOption = None,
    calls: Annotated[int, typer.Option(min=1, help="Of one round.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="Of each, alternating.")] = 5,
) -> None:
    """Measure calls a second against the bare client, and the growth of memory."""
    rates: dict[int, list[tuple[float, float]]] = {number: [] for number in CONCURRENCIES}
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as folder:
        _, catalogue = titled_items(Path(folder) / "w", calls)
        with (
            counting("Calling") as progress,
            program("neggen.testing.chat_server", "--delay", DELAY) as url,
        ):
            bodies = bodies_of(catalogue)
            for number in range(rounds):
                for concurrency in CONCURRENCIES:
                    bare = asyncio.run(bare_rate(url, bodies, concurrency))
                    ours = whole_rate(url, catalogue, concurrency)
                    rates[concurrency].append((ours, bare))
                progress(number + 1, rounds)
    ratios = {
        concurrency: median(ours / bare for ours, bare in pairs)
        for concurrency, pairs in rates.items()
    }
    print_table(
        ["calls at once", "neggen, calls/s", "bare client, calls/s", "ratio", "ratios by round"],
        [
            [
                str(concurrency),
                f"{median(ours for ours, _ in pairs):.0f}",
                f"{median(bare for _, bare in pairs):.0f}",
                f"{ratios[concurrency]:.2f}",
                " ".join(f"{ours / bare:.2f}" for ours, bare in pairs),
            ]
            for concurrency, pairs in rates.items()
        ],
        title=f"{calls:,} calls to a server that takes {1000 * DELAY:.0f} ms, median of {rounds}",
    )
    memory = {count: peak_memory(count) for count in (FEW, MANY)}
    print_table(
        ["items", "before, MB", "peak, MB", "seconds"],
        [
            [f"{count:,}", f"{before:.0f}", f"{peak:.0f}", f"{seconds:.1f}"]
            for count, (before, peak, seconds) in memory.items()
        ],
        title="Memory of generating in a fresh process",
    )
    print_last_line(
        {f"ratio_{concurrency}": ratio for concurrency, ratio in ratios.items()}
        | {"memory_growth": memory[MANY][1] / memory[FEW][1]}
        | {f"peak_mb_{count}": memory[count][1] for count in memory}
    )


def bodies_of(catalogue: Dataset) -> list[dict[str, Any]]:
    """Return what ``generate`` sends, by listening."""
    bodies: list[dict[str, Any]] = []

    @web.middleware
    async def listen(request: web.Request, handler: Any) -> web.StreamResponse:
        bodies.append(json.loads(await request.read()))
        response: web.StreamResponse = await handler(request)
        return response

    app = chat_app()
    app.middlewares.append(listen)
    with serve_in_thread(app) as address:
        whole_rate(f"{address}/v1", catalogue, CONCURRENCIES[0])
    return bodies


async def bare_rate(url: str, bodies: Sequence[dict[str, Any]], concurrency: int) -> float:
    """Return the calls a second of a loop over the client alone."""

    async def work(queue: Iterator[dict[str, Any]]) -> None:
        for body in queue:
            answer = await client.chat.completions.create(**body)
            if not answer.choices[0].message.content:
                raise NegGenError("The scripted server gave an empty answer.")

    async with AsyncOpenAI(
        base_url=url, api_key="none", http_client=DefaultAioHttpClient()
    ) as client:
        started = time.perf_counter()
        queue = iter(bodies)
        await asyncio.gather(*(work(queue) for _ in range(concurrency)))
        return len(bodies) / (time.perf_counter() - started)


def whole_rate(url: str, catalogue: Dataset, concurrency: int) -> float:
    """Return the calls a second of generating into a new workspace."""
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as folder:
        place = Workspace(folder)
        backend = OpenAICompatibleBackend(url, MODEL, concurrency=concurrency)
        started = time.perf_counter()
        summary = generate(place, catalogue, backend, concurrency=concurrency)
        seconds = time.perf_counter() - started
    side = summary.modalities["text"]
    if side.valid < side.items:
        raise NegGenError(f"Not all answers were valid: {dict(side.failed)}.")
    return side.asked / seconds


def peak_memory(count: int) -> tuple[float, float, float]:
    """Return the MB before and at the peak, and the seconds, of generating for ``count`` items."""
    with console.status(f"Generating for {count:,} items"):
        ended = subprocess.run(
            [sys.executable, "-c", GENERATE, str(count)], capture_output=True, text=True
        )
    if ended.returncode:
        raise NegGenError(f"Generating for {count} items failed: {ended.stderr}")
    before, peak, seconds = map(float, ended.stdout.split())
    return before / 1024, peak / 1024, seconds


if __name__ == "__main__":
    run_benchmark(main)
