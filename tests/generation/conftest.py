"""A small catalogue with pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from neggen.data.dataset import Dataset


@pytest.fixture
def catalogue(tmp_path: Path) -> Callable[..., Dataset]:
    """Make a catalogue of ``items`` items, each with a text and, if asked for, a picture."""

    def make(items: int = 4, *, pictures: bool = False) -> Dataset:
        rows = []
        for index in range(items):
            name = f"{index}.png" if pictures else None
            if name:
                color = (index * 40 % 256, 80, 200)
                Image.new("RGB", (40, 30), color).save(tmp_path / name)
            rows.append({"item_id": f"i{index}", "image": name, "title": f"Thing number {index}"})
        table = pl.DataFrame(rows, schema={"item_id": str, "image": str, "title": str})
        users = np.repeat(np.arange(3), items)
        log = pl.DataFrame(
            {"user_id": [f"u{user}" for user in users], "item_id": table["item_id"].to_list() * 3}
        )
        return Dataset.from_frames(log, table, image_dir=tmp_path)

    return make
