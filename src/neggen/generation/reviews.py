"""From what people decided to the file of records that the next stages read.

A review is kept in the journal before the file changes, and the file says up to which review it is
complete. Whoever reads it next makes up for what a crash, or another process, left out.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from filelock import FileLock

from neggen.data.dataset import Dataset
from neggen.generation.journal.reviews import Key, Review, latest
from neggen.generation.records import SCHEMA

NOTE = b"neggen.reviews"
"""The key of the metadata under which a file of records says which reviews it holds."""
BY_HAND = "by hand"
"""The generator of a record that a person wrote."""
KEY = ("item_id", "modality", "completion")


def side_digest(data: Dataset, item: int, modality: str) -> str:
    """Return a SHA-256 of a side of one item: of its text, or of the bytes of its picture.

    It is empty if the item has no such side.
    """
    if modality == "image":
        return str(data.item_table["image_sha256"][item] or "")
    text = data.item_text(item)
    return "" if text is None else hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Be the only one, of all threads and processes, who changes the file of records ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield


def known_reviews(path: Path) -> int:
    """Return the number of the last review that a file of records holds, 0 for none."""
    note = (pq.read_metadata(path).metadata or {}).get(NOTE)
    return int(json.loads(note)["last"]) if note is not None else 0


def standing(reviews: Sequence[Review], data: Dataset) -> dict[Key, Review]:
    """Return the last review of every record that describes an item as it is now.

    Args:
        reviews: all reviews, oldest first.
        data: the catalogue as it is now.
    """
    position = {item_id: index for index, item_id in enumerate(data.item_ids)}
    return {
        key: review
        for key, review in latest(reviews).items()
        if key[0] in position and review.describes == side_digest(data, position[key[0]], key[1])
    }


def put_in_reviews(path: Path, reviews: Sequence[Review], data: Dataset, *, fresh: bool) -> None:
    """Change a file of records as people decided, and have it say so.

    What was decided about an earlier text or picture of an item is left out.

    Args:
        path: the file, which nobody else may use meanwhile.
        reviews: all reviews, oldest first.
        data: the catalogue as it is now.
        fresh: whether a generator has just written the file, so that it holds no reviews yet and
            what was taken back by undoing is the generator's again.
    """
    since = 0 if fresh else known_reviews(path)
    decided = {
        key: review
        for key, review in standing(reviews, data).items()
        if review.number > since and not (fresh and review.after.verdict is None)
    }
    kept = [used for review in decided.values() if (used := review.after.used) is not None]
    changed = pl.DataFrame(kept, schema=SCHEMA)
    keys = pl.DataFrame(list(decided), schema={name: SCHEMA[name] for name in KEY}, orient="row")
    frame = pl.read_parquet(path).select(list(SCHEMA)).join(keys, on=KEY, how="anti")
    # An item has one description, whatever its number of negatives, and here a person chose it.
    chosen = changed.select("item_id", "modality", chosen="description").unique(
        ["item_id", "modality"]
    )
    frame = frame.join(chosen, on=["item_id", "modality"], how="left").filter(
        pl.col("chosen").is_null() | (pl.col("chosen") == pl.col("description"))
    )
    order = pl.DataFrame({"item_id": data.item_ids}).with_row_index("place")
    frame = (
        pl.concat([frame.drop("chosen"), changed])
        .join(order, on="item_id", how="left")
        .sort("place", "modality", "completion", nulls_last=True)
        .drop("place")
    )
    last = max((review.number for review in reviews), default=0)
    verdicts = Counter(review.after.verdict for review in latest(reviews).values())
    note: dict[str, int] = {str(name): count for name, count in verdicts.items() if name}
    note["last"] = last
    notes = dict(pq.read_metadata(path).metadata or {})
    notes.pop(b"ARROW:schema", None)
    notes[NOTE] = json.dumps(note).encode()
    pq.write_table(frame.to_arrow().replace_schema_metadata(notes), path, compression="zstd")
