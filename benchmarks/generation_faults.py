"""Generation through a proxy that breaks a fifth of all requests: what becomes of every item?

    python benchmarks/generation_faults.py

A scripted server stands behind the fault proxy of ``neggen.testing``. In one run of each plan all
kinds of faults are mixed; then each kind is injected alone, as often. Every item must end ``valid``
(with a record) or ``dead_lettered`` (given up, with the reason in the journal); the others are
``unaccounted``. The last line has the sums over all runs.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from common import NoDataOption, print_last_line, program, run_benchmark, titled_items
from neggen.cli.output import counting, print_table
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.journal.listing import JournalListing
from neggen.generation.record_files import read_records
from neggen.generation.requests import Plan
from neggen.generation.run import generate
from neggen.testing.fault_proxy import NOTICEABLE

CONCURRENCY = 64
LATENCY = 0.5
AT_ONCE = 4
"""Runs side by side: most of the time they wait before they try again."""


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        plan: how items were asked about.
        faults: which kinds were injected.
        items: in the catalogue.
        requests: that the proxy saw.
        injected: requests that it broke.
        valid: items with a record.
        dead: items that were given up, by reason.
        unaccounted: the other items.
    """

    plan: Plan
    faults: str
    items: int
    requests: int
    injected: int
    valid: int
    dead: Counter[str]
    unaccounted: int

    def row(self) -> list[str]:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in self.dead.most_common())
        numbers = (self.requests, self.injected, self.items, self.valid, self.dead.total())
        figures = (*numbers, self.unaccounted)
        return [f"{self.plan}: {self.faults}", *(f"{figure:,}" for figure in figures), reasons]


def main(
    data: NoDataOption = None,
    items: Annotated[int, typer.Option(min=1, help="In the runs with all kinds.")] = 1000,
    items_of_one_kind: Annotated[int, typer.Option(min=1, help="In the other runs.")] = 100,
    rate: Annotated[float, typer.Option(min=0, max=1, help="Share of broken requests.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
) -> None:
    """Break requests in every way and see that every item is accounted for."""
    plans: tuple[Plan, ...] = ("fused", "staged")
    mixed = dict.fromkeys(NOTICEABLE, rate / len(NOTICEABLE))
    runs = [(plan, "all kinds", mixed, items) for plan in plans]
    runs += [(plan, kind, {kind: rate}, items_of_one_kind) for plan in plans for kind in NOTICEABLE]
    with (
        counting("Breaking") as progress,
        program("neggen.testing.chat_server", "--delay", 0.01) as server,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        started = [threads.submit(measure, server, *run, seed) for run in runs]
        for number, _ in enumerate(as_completed(started), start=1):
            progress(number, len(runs))
    outcomes = [run.result() for run in started]
    print_table(
        ["run", "requests", "injected", "items", "valid", "dead", "unaccounted", "why"],
        [outcome.row() for outcome in outcomes],
        title=f"{rate:.0%} of all requests broken",
    )
    print_last_line(
        {
            "valid": sum(outcome.valid for outcome in outcomes),
            "dead_lettered": sum(outcome.dead.total() for outcome in outcomes),
            "unaccounted": sum(outcome.unaccounted for outcome in outcomes),
            "items": sum(outcome.items for outcome in outcomes),
            "injected": sum(outcome.injected for outcome in outcomes),
        }
    )


def measure(
    server: str, plan: Plan, name: str, faults: Mapping[str, float], count: int, seed: int
) -> Outcome:
    """Generate for ``count`` items through a proxy and look into the files it left."""
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as folder:
        place, catalogue = titled_items(Path(folder) / "w", count)
        log = Path(folder) / "faults.jsonl"
        options = [f"--fault={kind}={probability}" for kind, probability in faults.items()]
        options += ["--upstream", server, "--seed", str(seed), "--latency", str(LATENCY)]
        with program("neggen.testing.fault_proxy", *options, "--log", log) as proxy:
            backend = OpenAICompatibleBackend(proxy, "scripted")
            generate(place, catalogue, backend, plan=plan, concurrency=CONCURRENCY)
        injected = Counter(json.loads(line)["fault"] for line in log.read_text().splitlines())
        with JournalListing(place.journal_path) as journal:
            reasons = {row["item_id"]: row["kind"] for row in journal.dead() if row["reason"]}
        valid = set(read_records(place.records_path)["item_id"])
    return Outcome(
        plan,
        name,
        count,
        requests=injected.total(),
        injected=injected.total() - injected["none"],
        valid=len(valid),
        dead=Counter(reasons[item] for item in reasons.keys() - valid),
        unaccounted=len(set(catalogue.item_ids) - valid - set(reasons)),
    )


if __name__ == "__main__":
    run_benchmark(main)
