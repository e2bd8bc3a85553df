"""Generation killed again and again: what is lost, what is paid twice, what differs in the end?

    python benchmarks/generation_crash.py

``neggen generate`` runs as a process of its own against a scripted server and is killed (SIGKILL)
at random moments, mostly while answers come in. After each kill the journal tells what had been
acknowledged, and the log of the server tells what was asked. Counted are

- ``lost``: acknowledged answers that are missing or different in the end;
- ``repeated``: items asked about once more though their answer had been acknowledged;
- ``identical``: whether the records are, byte by byte, those of an undisturbed run.

Requests that were in flight at a kill are asked again; nobody can know what became of them.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from common import NoDataOption, print_last_line, program, run_benchmark, titled_items
from neggen import Dataset, NegGenError, Workspace
from neggen.cli.output import counting, print_table
from neggen.generation.inputs import describable_sides, item_inputs
from neggen.generation.journal.listing import JournalListing
from neggen.generation.prompts import load_prompts
from neggen.testing.chat_server import prompt_of

DELAY = 0.25
CONCURRENCY = 8
"""With the delay slow enough that the kills come before the end."""
QUICKLY = 128
SETTLE = 0.3
"""Seconds in which what a killed process had sent reaches the server's log."""


@dataclass
class Witness:
    """What is known of the disturbed runs.

    Attributes:
        started: when each process started.
        acknowledged: answers with their time by journal key. An answer that was lost and given
            once more has another time.
        items: items whose answer was acknowledged, after each kill.
        lost: answers that were acknowledged and gone, or different, later.
    """

    started: list[float] = field(default_factory=list)
    acknowledged: dict[str, tuple[str, str]] = field(default_factory=dict)
    items: list[set[str]] = field(default_factory=list)
    lost: int = 0

    def look(self, place: Workspace) -> None:
        """Compare what the journal holds with what it held before."""
        held: dict[str, tuple[str, str]] = {}
        items: set[str] = set()
        if place.journal_path.exists():
            with JournalListing(place.journal_path) as journal:
                for answer in journal.answers():
                    held[answer["key"]] = answer["answer"], answer["at"]
                    items.add(answer["item_id"])
        self.lost += sum(held.get(key) != answer for key, answer in self.acknowledged.items())
        self.acknowledged = held
        self.items.append(items)


def main(
    data: NoDataOption = None,
    items: Annotated[int, typer.Option(min=1, help="In the catalogue.")] = 2000,
    kills: Annotated[int, typer.Option(min=1, help="How often.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
) -> None:
    """Kill generation at random moments and see that nothing is lost or paid twice."""
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as name:
        folder = Path(name)
        log = folder / "calls.jsonl"
        disturbed, catalogue = titled_items(folder / "disturbed", items)
        undisturbed, _ = titled_items(folder / "undisturbed", items)
        witness = Witness()
        with program("neggen.testing.chat_server", "--delay", DELAY, "--log", log) as url:
            killed = disturb(disturbed, url, kills, random.Random(seed), witness)
            finish(disturbed, url, witness)
            calls = list(read_calls(log, catalogue))
            finish(undisturbed, url)
        repeated = count_repeated(calls, witness)
        identical = disturbed.records_path.read_bytes() == undisturbed.records_path.read_bytes()
    figures = {
        "lost": witness.lost,
        "repeated": repeated,
        "kills": killed,
        "identical": identical,
        "items": items,
        "asked_again_in_flight": len(calls) - items - repeated,
    }
    print_table(
        [name.replace("_", " ") for name in figures],
        [[f"{value:,}" if type(value) is int else str(value) for value in figures.values()]],
        title=f"neggen generate, killed {killed} times",
    )
    print_last_line(figures)


def command(place: Workspace, url: str, concurrency: int) -> list[str]:
    """Return what is typed to generate."""
    typed = ["generate", str(place.path), "--base-url", url, "--model", "scripted", "--json"]
    return [sys.executable, "-m", "neggen.cli", *typed, "--concurrency", str(concurrency)]


def disturb(place: Workspace, url: str, kills: int, draw: random.Random, witness: Witness) -> int:
    """Start generation and kill it, ``kills`` times or until it is done; return how often."""
    with counting("Killing") as progress:
        for number in range(kills):
            witness.started.append(time.time())
            process = subprocess.Popen(
                command(place, url, CONCURRENCY),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            # One in ten dies while it starts, the others after the first new answer.
            while process.poll() is None and number % 10 and not has_grown(place, witness):
                time.sleep(0.03)
            time.sleep(draw.uniform(0.0, 1.0))
            process.kill()
            code = process.wait()
            if code not in (0, -signal.SIGKILL):
                raise NegGenError(f"neggen generate ended by itself with exit code {code}.")
            time.sleep(SETTLE)
            witness.look(place)
            if code == 0:
                return number
            progress(number + 1, kills)
    return kills


def has_grown(place: Workspace, witness: Witness) -> bool:
    """Return whether there are more answers than after the last kill."""
    try:
        with JournalListing(place.journal_path) as journal:
            return sum(side.answers for side in journal.sides()) > len(witness.acknowledged)
    except NegGenError:
        return False  # the first process has not made it yet


def finish(place: Workspace, url: str, witness: Witness | None = None) -> None:
    """Let generation run to its end."""
    if witness is not None:
        witness.started.append(time.time())
    ended = subprocess.run(command(place, url, QUICKLY), capture_output=True, text=True)
    if ended.returncode:
        raise NegGenError(f"neggen generate failed: {ended.stderr}")
    if witness is not None:
        witness.look(place)


def read_calls(log: Path, catalogue: Dataset) -> Iterator[tuple[str, float]]:
    """Yield (item, time of arrival) of every call that the server answered."""
    prompts = load_prompts()
    item_of = {}
    for item in item_inputs(catalogue, describable_sides(catalogue, None)):
        question = prompts.render(f"fused.{item.modality}", text=item.text or "")
        messages = [
            {"role": "system", "content": prompts.system("fused")},
            {"role": "user", "content": [{"type": "text", "text": question}]},
        ]
        item_of[prompt_of({"messages": messages})] = item.item_id
    for line in log.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        yield item_of[call["prompt"]], call["received"]


def count_repeated(calls: Sequence[tuple[str, float]], witness: Witness) -> int:
    """Return how many calls there were for items that had been acknowledged.

    A process that asks twice for an item acknowledged by its end counts as well.
    """
    repeated = 0
    known: set[str] = set()
    ends = [*witness.started[1:], float("inf")]
    for start, end, acknowledged in zip(witness.started, ends, witness.items, strict=True):
        asked = Counter(item for item, received in calls if start <= received < end)
        repeated += sum(count for item, count in asked.items() if item in known)
        repeated += sum(count - 1 for item, count in asked.items() if item in acknowledged - known)
        known |= acknowledged
    return repeated


if __name__ == "__main__":
    run_benchmark(main)
