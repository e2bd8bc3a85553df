"""Metadata many times larger than what is taken from it: how fast is an import, and how big?

    python benchmarks/import_amazon.py --gigabytes 5

Reviews of 1,000 items, and packed metadata in the layout of 2023 of so many gigabytes that only a
small part is about these items, are made up. ``neggen import`` reads them in a process of its own
and, to compare, the same reviews with the metadata of these items alone. ``more_mib`` is how much
more memory the large one took at its peak.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from common import NoDataOption, Used, print_last_line, run_benchmark, run_measured
from neggen import NegGenError
from neggen.cli.output import print_table, say

NEEDED = 1000
USERS = 2000
LINE_BYTES = 2000
BATCH = 2000
"""Lines packed at once."""


def main(
    gigabytes: Annotated[float, typer.Option(min=0.01, help="Metadata before packing.")] = 1.0,
    data: NoDataOption = None,
) -> None:
    """Import made-up reviews with metadata of any size."""
    lines = max(int(gigabytes * 1e9 / LINE_BYTES), NEEDED)
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as temporary:
        folders = [Path(temporary) / name for name in ("small", "large")]
        say(f"Writing {gigabytes:g} GB of metadata")
        for folder, count in zip(folders, (NEEDED, lines), strict=True):
            folder.mkdir()
            write_reviews(folder / "Things.jsonl.gz")
            write_metadata(folder / "meta_Things.jsonl.gz", count)
        packed = (folders[1] / "meta_Things.jsonl.gz").stat().st_size
        small, large = (
            measured(folder, Path(temporary) / f"w-{folder.name}") for folder in folders
        )
    figures = {
        "gigabytes": round(lines * LINE_BYTES / 1e9, 3),
        "packed_megabytes": round(packed / 1e6, 1),
        "metadata": lines,
        "items": NEEDED,
        "seconds": round(large.seconds, 1),
        "megabytes_per_second": round(lines * LINE_BYTES / 1e6 / large.seconds),
        "peak_mib": round(large.peak_mib),
        "more_mib": round(large.peak_mib - small.peak_mib, 1),
    }
    print_table(["import of Amazon Reviews", ""], [[k, f"{v:,}"] for k, v in figures.items()])
    print_last_line(figures)


def asin(number: int) -> str:
    return f"B{number:09d}"


def write_reviews(path: Path) -> None:
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as file:
        for user in range(USERS):
            for step in range(5):
                item = asin((user * 7 + step * 131) % NEEDED)
                review = {"user_id": f"u{user}", "parent_asin": item, "rating": 5.0}
                file.write(json.dumps(review | {"timestamp": user + step}) + "\n")


def write_metadata(path: Path, count: int) -> None:
    """Write ``count`` lines of ``LINE_BYTES``, those of the needed items spread among them."""
    head = {"main_category": "Things", "title": "Thing", "store": "Acme", "price": 9.99}
    body = json.dumps(head | {"features": ["Light"] * 30, "description": ["A thing. " * 10]})[1:-1]
    step = count // NEEDED
    with gzip.open(path, "wb", compresslevel=1) as file:
        for first in range(0, count, BATCH):
            batch = []
            for number in range(first, min(first + BATCH, count)):
                item, place = divmod(number, step)
                name = asin(item if place == 0 and item < NEEDED else NEEDED + number)
                line = f'{{"parent_asin": "{name}", {body}, "details": "'
                batch.append(line + "x" * (LINE_BYTES - len(line) - 3) + '"}\n')
            file.write("".join(batch).encode())


def measured(source: Path, workspace: Path) -> Used:
    """Import ``source`` in a process of its own; all of its items must have their text."""
    command = [sys.executable, "-m", "neggen.cli", "import", source, workspace, "--json"]
    told, used = run_measured(command)
    texts = not any("no row" in note for note in told.get("notes", []))
    if told.get("items") != NEEDED or not texts:
        raise NegGenError(f"The import told {told}.")
    return used


if __name__ == "__main__":
    run_benchmark(main)
