"""How far the workers are: what their shards hold that no outcome has told of yet."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from neggen.generation.distributed.messages import Counts
from neggen.generation.journal.file import shard_folder
from neggen.generation.prepared import GenerationSummary
from neggen.generation.records import Modality

LOOK_SECONDS = 1.0
"""How often the shards are looked into, while no part ends."""

_SO_FAR = """
SELECT modality, sum(valid), sum(cost) FROM (
SELECT modality, state = 'valid' AS valid, cost FROM units
UNION ALL SELECT modality, 0, cost FROM answers) GROUP BY modality
"""


class Progress:
    """Looks into the shards of a run while they are written, without a claim to exactness.

    Sides that fail count only when their part ends, as do tokens: a shard may begin with failures
    and answers of an earlier run.
    """

    def __init__(self, journal: Path, run: str) -> None:
        """Begin.

        Args:
            journal: the main journal.
            run: the name of the run in the names of its shards.
        """
        self._folder, self._run = shard_folder(journal), run
        self._ended: set[int] = set()
        self._parts: dict[int, dict[Modality, Counts]] = {}

    def ended(self, part: int) -> None:
        """Look at a part no more: its outcome tells all."""
        self._ended.add(part)
        self._parts.pop(part, None)

    def look(self) -> None:
        """Read the shards of parts that have not ended."""
        for shard in self._folder.glob(f"{self._run}-*.sqlite"):
            part = int(shard.stem.rpartition("-")[2])
            if part in self._ended:
                continue
            # One that is just being made, or written, is looked at the next time; if it is broken,
            # the merge tells.
            with suppress(sqlite3.Error):
                self._parts[part] = _so_far(shard)

    def added_to(self, summary: GenerationSummary) -> GenerationSummary:
        """Return a summary of the parts that ended with what was seen of the others added."""
        sides = {name: replace(side) for name, side in summary.modalities.items()}
        done = summary.done
        for counts in self._parts.values():
            for name, counted in counts.items():
                counted.add_to(sides[name])
                done += counted.sides
        return replace(summary, modalities=sides, done=done)


def _so_far(shard: Path) -> dict[Modality, Counts]:
    with closing(sqlite3.connect(f"{shard.as_uri()}?mode=ro", uri=True, timeout=0)) as file:
        return {name: Counts(sides=valid, cost=cost) for name, valid, cost in file.execute(_SO_FAR)}
