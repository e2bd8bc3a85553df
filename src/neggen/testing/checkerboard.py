"""A data set with a known right answer."""

from __future__ import annotations

import numpy as np
import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.generation.records import Record, records_frame

GROUP = 20
"""Users, and items, in each of the two groups of the checkerboard."""


def checkerboard(seed: int = 0) -> Dataset:
    """Return a data set with a known right answer, split at random.

    Users and items form two groups by the parity of their number, and users use ten items of their
    own group only. Item texts, records and vectors tell the groups apart too: an even item is round
    and its negative square, an odd one the other way about. One item lacks a picture.
    """
    rng = np.random.default_rng(seed)
    log = [
        (f"user-{user:02d}", f"item-{2 * item + user % 2:02d}")
        for user in range(2 * GROUP)
        for item in rng.choice(GROUP, size=10, replace=False)
    ]
    items = [f"item-{number:02d}" for number in range(2 * GROUP)]
    shapes = [("round", "square")[number % 2] for number in range(2 * GROUP)]
    data = Dataset.from_frames(
        pl.DataFrame(log, schema=["user_id", "item_id"], orient="row"),
        pl.DataFrame({"item_id": items, "title": [f"A {shape} thing" for shape in shapes]}),
    )
    records = [
        Record(
            item_id=item,
            modality=modality,
            description=f"A {shape} thing.",
            template="A [MASK] thing.",
            values=(shape,),
            replacements=("square" if shape == "round" else "round",),
            negative=f"A {'square' if shape == 'round' else 'round'} thing.",
        )
        for item, shape in zip(items, shapes, strict=True)
        for modality in ("image", "text")
        if (item, modality) != (items[0], "image")
    ]
    axes = np.eye(8, dtype=np.float32)[np.arange(2 * GROUP) % 2]  # [items, 8], one axis a group
    shared = rng.normal(0, 0.1, (2 * GROUP, 2, 8)).astype(np.float32)
    mask = np.ones((2 * GROUP, 2), dtype=bool)
    mask[0, 0] = False
    positive = (axes[:, None] + shared) * mask[..., None]  # [items, modalities, 8]
    negative = (axes[::-1][:, None] + shared) * mask[..., None]
    vectors = ItemVectors(("image", "text"), positive, negative[:, None], mask)
    return data.replace(records=records_frame(records, "checkerboard"), vectors=vectors).split()
