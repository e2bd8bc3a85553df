"""The contract of backends: who writes descriptions and negatives."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from neggen.data.dataset import Dataset
from neggen.generation.backends.base import Backend
from neggen.generation.prepared import GenerationSummary
from neggen.generation.record_files import read_records
from neggen.generation.run import generate
from neggen.testing.refusal import refuses
from neggen.workspace import Workspace

COLORS, STUFFS = ("red", "blue", "green", "black"), ("wool", "leather", "cotton")


class BackendContract:
    """What holds for every backend. Subclass it and provide :meth:`backend`."""

    def backend(self, data: Dataset) -> Backend:
        """Return a new backend that answers for the items of ``data``; each is closed once."""
        raise NotImplementedError

    def data(self) -> Dataset:
        """Return a split catalogue; override it for a backend that knows other items.

        Twelve chairs with a title, color and material, of which six people used half.
        """
        kinds = [(color, stuff) for color in COLORS for stuff in STUFFS]
        ids = [f"i{number}" for number in range(len(kinds))]
        titles = [f"A {color} chair covered with {stuff}" for color, stuff in kinds]
        columns = dict(zip(("color", "material"), zip(*kinds, strict=True), strict=True))
        items = pl.DataFrame({"item_id": ids, "title": titles, **columns})
        used = [(f"u{user}", ids[item]) for user in range(6) for item in range(user % 2, 12, 2)]
        log = pl.DataFrame(used, schema=["user_id", "item_id"], orient="row")
        return Dataset.from_frames(log, items).split("random", seed=0)

    def generated(
        self, folder: str, data: Dataset, **options: Any
    ) -> tuple[GenerationSummary, pl.DataFrame]:
        """Generate into a workspace with a new backend; return what happened and the records."""
        place = Workspace(Path(folder))
        summary = generate(place, data, self.backend(data), **options)
        return summary, read_records(place.records_path)

    def test_says_what_decides_its_answers(self) -> None:
        """Name and parameters, which are a part of every answer's key, can be written and stay."""
        data = self.data()
        one, other = self.backend(data), self.backend(data)
        assert one.name
        assert json.dumps(dict(one.parameters)) == json.dumps(dict(other.parameters))
        assert (one.name, one.model) == (other.name, other.model)
        for each in (one, other):
            asyncio.run(each.close())

    def test_answers_become_records(self) -> None:
        """Every item ends as a record or with a reason, and one at least as a record."""
        data = self.data()
        with tempfile.TemporaryDirectory(prefix="neggen-") as folder:
            summary, records = self.generated(folder, data)
        for side in summary.modalities.values():
            assert side.valid + sum(side.failed.values()) == side.items
        assert len(records) > 0
        assert records["item_id"].is_in(data.item_ids.implode()).all()
        assert (records["negative"] != records["description"]).all()

    def test_nothing_is_asked_twice(self) -> None:
        """Another run finds every answer in the journal and writes the same."""
        data = self.data()
        with tempfile.TemporaryDirectory(prefix="neggen-") as folder:
            _, first = self.generated(folder, data)
            summary, again = self.generated(folder, data)
        assert [side.asked for side in summary.modalities.values()] == [0] * len(summary.modalities)
        assert again.equals(first)

    def test_many_at_once_are_answered_as_one_by_one(self) -> None:
        """Side by side as many items are answered; by finished answers, with the same texts."""
        data = self.data()
        found = []
        for concurrency in (1, 8):
            with tempfile.TemporaryDirectory(prefix="neggen-") as folder:
                found.append(self.generated(folder, data, concurrency=concurrency)[1])
        one, many = (table.sort("item_id", "modality", "completion") for table in found)
        if self.finished():
            assert one.equals(many)
        else:  # which may say something else every time
            keys = ["item_id", "modality"]
            assert len(one.select(keys).unique()) == len(many.select(keys).unique())

    def test_serves_the_plans_that_it_says(self) -> None:
        """Whoever knows finished answers cannot be asked in three steps; others can."""
        data = self.data()
        with tempfile.TemporaryDirectory(prefix="neggen-") as folder:
            if self.finished():
                with refuses("plan"):
                    self.generated(folder, data, plan="staged")
            else:
                summary, records = self.generated(folder, data, plan="staged")
                assert len(records) == sum(side.records for side in summary.modalities.values()) > 0

    def finished(self) -> bool:
        """Return whether the backend only knows finished answers."""
        backend = self.backend(self.data())
        asyncio.run(backend.close())
        return backend.finished
