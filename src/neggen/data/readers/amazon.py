"""Amazon Reviews of 2014, 2018 and 2023: ``X.json.gz`` or ``X.jsonl.gz`` with ``meta_X`` beside it.

The reviews are in McAuley et al., "Image-based recommendations on styles and substitutes" (2015),
Ni et al., "Justifying recommendations using distantly-labeled reviews" (2019) and Hou et al.,
"Bridging language and items for retrieval and recommendation" (2024).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.readers.amazon_items import first_of, is_text, read_metadata
from neggen.data.readers.base import ReadOptions, unused_note
from neggen.data.readers.joining import joined, left_out, rated
from neggen.data.readers.records import SUFFIXES, others_note, place, records, stem
from neggen.errors import NegGenError

USER = ("user_id", "reviewerID")
ITEM = ("parent_asin", "asin")
TIME = ("timestamp", "unixReviewTime")
RATING = ("rating", "overall")
FIELDS = (*USER, *ITEM, *TIME, *RATING)
METADATA = re.compile(r"(raw_)?meta_(.+)")
REVIEWS = re.compile(r"(reviews_|raw_review_)?(.+?)(_5)?")
LARGEST_TIME = 2**63


class AmazonReader:
    """Reviews as JSON lines, Python literals or Parquet, and metadata of the items likewise."""

    name = "amazon"
    layout = f"X or reviews_X, and meta_X ({', '.join(SUFFIXES)})"
    heeds = frozenset({"items", "drop_unknown", "downloads", "min_rating", "all_items"})

    def recognizes(self, path: Path) -> bool:
        """Return whether ``path`` is a file of reviews or a folder with one."""
        return bool(_review_files(path))

    def read(self, path: Path, options: ReadOptions) -> Dataset:
        """Read who reviewed what and when, then the metadata of those items, line by line.

        Raises:
            NegGenError: For a damaged file, a line that is no review, or several files.
        """
        found = _review_files(path)
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise NegGenError(f"{path} has several files of reviews ({names}); name one of them.")
        (log_path,) = found
        beside = _metadata_files(log_path)
        if len(beside) > 1 and options.items is None:
            both = " and ".join(file.name for file in beside)
            raise NegGenError(f"{log_path.parent} has {both}; keep one, or name it with --items.")
        items_path = options.items or next(iter(beside), None)
        notes: list[str] = []
        log = rated(_read_reviews(log_path, notes), options, log_path, notes)
        items = None
        if items_path is None:
            notes.append(f"There is no meta_{_subject(log_path)} beside {log_path.name}: no texts.")
        else:
            needed = None if options.all_items else frozenset(log["item_id"].unique())
            items, others = read_metadata(items_path, needed, notes)
            notes.extend(left_out(others, items_path))
        data = joined(log, items, (log_path, items_path), options, notes)
        if path.is_file():
            return data
        used = [file.name for file in (log_path, items_path) if file is not None]
        return data.replace(notes=data.notes + unused_note(path, used))


def _review_files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
    return [file for file in files if _holds_reviews(file)]


def _holds_reviews(path: Path) -> bool:
    """Return whether a file has reviews: by its name, its neighbor or its first line."""
    name = stem(path)
    if name is None or METADATA.fullmatch(name) or name in ("interactions", "items"):
        return False
    if not path.is_file():
        return False
    if name.startswith(("reviews_", "raw_review_")) or _metadata_files(path):
        return True
    try:
        _, first = next(records(path, FIELDS), (0, {}))
    except NegGenError:
        return False
    return all(first_of(first, names) is not None for names in (USER, ITEM, RATING))


def _subject(path: Path) -> str:
    """Return the ``X`` that reviews and metadata share."""
    match = REVIEWS.fullmatch(stem(path) or "")
    return match[2] if match else ""


def _metadata_files(reviews: Path) -> list[Path]:
    subject = _subject(reviews)
    names = [f"{kind}meta_{subject}{end}" for kind in ("", "raw_") for end in SUFFIXES]
    return [file for name in names if (file := reviews.with_name(name)).is_file()]


def _read_reviews(path: Path, notes: list[str]) -> pl.DataFrame:
    """Return ``user_id``, ``item_id``, ``rating`` and, if there are times, ``timestamp``.

    Each id is held once; a review takes 24 bytes until the table is made.
    """
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    codes = array("i"), array("i")
    ratings, times = array("d"), array("q")
    timeless = 0  # the first line without a time
    others: set[str] = set()
    for number, review in records(path, FIELDS, others):
        for names, ids, known in zip((USER, ITEM), codes, (users, items), strict=True):
            ids.append(known.setdefault(_id(review, names, path, number), len(known)))
        ratings.append(_rating(review, path, number))
        time = first_of(review, TIME)
        if time is None:
            timeless = timeless or number
        elif isinstance(time, int) and abs(time) < LARGEST_TIME:
            times.append(time)
        else:
            raise NegGenError(f"{place(path, number)} has the time {time!r:.60}; give a number.")
    if not ratings:
        raise NegGenError(f"{path} has no reviews; give at least one.")
    if times and timeless:
        raise NegGenError(f"{place(path, timeless)} has no time, though others have one.")
    notes.extend(others_note(others, path))
    log = pl.DataFrame(
        {
            "user_id": pl.Series(list(users))[np.array(codes[0])],
            "item_id": pl.Series(list(items))[np.array(codes[1])],
            "rating": np.array(ratings),
        }
    )
    return log.with_columns(timestamp=np.array(times)) if times else log


def _id(review: Mapping[str, Any], names: Sequence[str], path: Path, number: int) -> str:
    value = first_of(review, names)
    if is_text(value):
        return str(value)
    raise NegGenError(
        f"{place(path, number)} has no {' or '.join(names)} that is text, but {value!r:.60}; it is "
        f"no review."
    )


def _rating(review: Mapping[str, Any], path: Path, number: int) -> float:
    value = first_of(review, RATING)
    if value is None:
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise NegGenError(
            f"{place(path, number)} has the rating {value!r:.60}; give a number."
        ) from None
