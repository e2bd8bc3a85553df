"""Generation on Ray: what a second node brings, and what it costs when one dies.

    python benchmarks/generation_ray.py

Two nodes run on this machine, each a Ray node of its own with room for one worker, and a scripted
server answers every call after a while, as a language model would. In the same run one worker and
two workers generate in turn for a fresh workspace; ``ratio`` is the calls a second of two over
those of one, from the first call to the last answer, the median over rounds.

Then two workers generate once more, and one of the two nodes is killed in the middle (``killed``).
The shards tell what had been acknowledged until then, and the log of the server what was asked:

- ``lost``: acknowledged answers that are missing or different in the end;
- ``repeated``: calls for items whose answer had been acknowledged at the kill, and calls too many
  for other items beyond what the dead worker had in flight;
- ``identical``: whether the records are, byte by byte, those of a single process.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from common import NoDataOption, print_last_line, program, run_benchmark, titled_items
from generation_crash import read_calls
from neggen import NegGenError, Workspace
from neggen.cli.output import counting, print_table
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.distributed import generate_on_ray
from neggen.generation.journal.file import shard_folder
from neggen.generation.journal.listing import JournalListing
from neggen.generation.journal.owner import owners_folder
from neggen.generation.run import generate

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

DELAY = 0.25
CONCURRENCY = 8
"""With the delay, 32 calls a second for each worker, so that waiting is what takes the time."""
SETTLE = 1.0
"""Seconds until a call of a killed worker is in the server's log."""

Answers = dict[str, tuple[str, str]]


def main(
    data: NoDataOption = None,
    items: Annotated[int, typer.Option(min=100, help="Of one run.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="Of one and two workers each.")] = 2,
) -> None:
    """Measure two workers against one, and kill a node in the middle."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with (
        tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as name,
        counting("Generating") as progress,
        two_nodes() as (cluster, kill_one),
    ):
        folder = Path(name)
        for number in range(rounds):
            for workers in rates:
                place = folder / f"{number}-{workers}"
                rates[workers].append(rate(place, items, workers, cluster.address))
                progress(2 * number + workers, 2 * rounds + 1)
        figures = kill(folder, items, cluster.address, kill_one)
        progress(2 * rounds + 1, 2 * rounds + 1)
    ratio = median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    print_table(
        ["workers", "calls/s, median", "by round"],
        [
            [str(workers), f"{median(rounds):.1f}", " ".join(f"{one:.1f}" for one in rounds)]
            for workers, rounds in rates.items()
        ],
        title=f"{items:,} calls, {CONCURRENCY} at once a worker, each answered after {DELAY} s",
    )
    print_table(
        [name.replace("_", " ") for name in figures],
        [[str(value) for value in figures.values()]],
        title="Two workers, one of two nodes killed",
    )
    print_last_line({"ratio": ratio, **figures})


@contextmanager
def two_nodes() -> Iterator[tuple[Cluster, Callable[[], None]]]:
    """Run a cluster of two nodes beside its head; yields what kills one of them."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        from ray.cluster_utils import Cluster
    except ImportError as error:
        raise NegGenError(f"{error}; install it with: pip install 'neggen[ray]'") from None
    store = {"object_store_memory": 100 * 2**20}
    head = {"num_cpus": 0, "include_dashboard": False, **store}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.add_node(num_cpus=1, **store) for _ in range(2)]
        yield cluster, lambda: cluster.remove_node(nodes[0], allow_graceful=False)
    finally:
        cluster.shutdown()


@contextmanager
def server(log: Path) -> Iterator[partial[OpenAICompatibleBackend]]:
    """Run a scripted server; yields what makes a backend of it."""
    with program("neggen.testing.chat_server", "--delay", DELAY, "--log", log) as url:
        yield partial(OpenAICompatibleBackend, url, "scripted")


def rate(folder: Path, items: int, workers: int, address: str) -> float:
    """Return the calls a second of so many workers."""
    place, catalogue = titled_items(folder, items)
    with server(folder / "calls.jsonl") as make:
        generate_on_ray(place, catalogue, make, address, workers=workers, concurrency=CONCURRENCY)
    lines = (folder / "calls.jsonl").read_text(encoding="utf-8").splitlines()
    calls = [json.loads(line) for line in lines]
    if len(calls) != items:
        raise NegGenError(f"There were {len(calls)} calls for {items} items.")
    first, last = min(call["received"] for call in calls), max(call["answered"] for call in calls)
    return items / (last - first)


def kill(
    folder: Path, items: int, address: str, kill_one: Callable[[], None]
) -> dict[str, int | bool]:
    """Kill a node when both have worked and a third is answered, and count what came of it."""
    place, catalogue = titled_items(folder / "disturbed", items)
    undisturbed, _ = titled_items(folder / "undisturbed", items)
    log = folder / "calls.jsonl"
    kept: Answers = {}
    killed: list[int] = []

    def watch() -> None:
        for _ in range(3000):
            time.sleep(0.1)
            answers, workers = held(place)
            if workers == 2 and len(answers) > items // 3:
                kill_one()
                killed.append(workers)
                kept.update(answers)
                return

    with server(log) as make:
        watching = threading.Thread(target=watch)
        watching.start()
        generate_on_ray(place, catalogue, make, address, workers=2, concurrency=CONCURRENCY)
        watching.join()
        time.sleep(SETTLE)
        calls = Counter(item for item, _ in read_calls(log, catalogue))
        generate(undisturbed, catalogue, make(), concurrency=64)
    found, _ = held(place)
    known = {item for item, _ in kept.values()}
    again = sum(count - 1 for item, count in calls.items() if item not in known)
    return {
        "lost": sum(found.get(key) != answer for key, answer in kept.items()),
        "repeated": sum(calls[item] - 1 for item in known) + max(0, again - CONCURRENCY),
        "killed": len(killed),
        "acknowledged_before": len(kept),
        "asked_again_in_flight": again,
        "complete": len(found) == items,
        "identical": place.records_path.read_bytes() == undisturbed.records_path.read_bytes(),
    }


def held(place: Workspace) -> tuple[Answers, int]:
    """Return (item, answer) of all acknowledged answers by key, and how many workers write some."""
    answers: Answers = {}
    shards = list(shard_folder(place.journal_path).glob("*.sqlite"))
    for path in [*shards, place.journal_path]:
        try:
            with JournalListing(path) as journal:
                found = {row["key"]: (row["item_id"], row["answer"]) for row in journal.answers()}
        except NegGenError:
            continue  # it is just being made
        answers |= found
    return answers, sum(any(owners_folder(shard).glob("*.lock")) for shard in shards)


if __name__ == "__main__":
    run_benchmark(main)
