"""Metadata are read line by line: 100 MB of them take no more memory than those that are needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "import_amazon.py"


def test_memory_does_not_grow_with_the_metadata() -> None:
    ran = subprocess.run(
        [sys.executable, str(BENCHMARK), "--gigabytes", "0.1"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert (figures["metadata"], figures["items"]) == (50_000, 1000)
    assert figures["more_mib"] < 40, figures
