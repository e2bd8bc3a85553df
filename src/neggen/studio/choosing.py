"""Which entries to look at, and in which order."""

from __future__ import annotations

import polars as pl

from neggen.generation.journal.reviews import Key
from neggen.studio.entries import KEY, OPEN, STATUSES, Entries

ANY = "all"
TO_REVIEW = "to review"
"""What nobody has agreed to yet."""
STATUS_CHOICES = (TO_REVIEW, ANY, *STATUSES)
SIDE_CHOICES = (ANY, "picture", "text")
NEGATIVE_CHOICES = (ANY, "with negative", "without")
GOOD, BAD = "nothing found", "something found"
WHY_CHOICES = (ANY, BAD, GOOD)
_MODALITIES = {"picture": "image", "text": "text"}


def choose(
    entries: Entries,
    *,
    search: str = "",
    side: str = ANY,
    negative: str = ANY,
    why: str = ANY,
    status: str = ANY,
) -> list[Key]:
    """Return the keys of the entries that fit all filters, in the order of the catalogue.

    Args:
        entries: what there is.
        search: words that all stand in the id, the item's text or what was written about it.
        side: one of ``SIDE_CHOICES``.
        negative: one of ``NEGATIVE_CHOICES``.
        why: one of ``WHY_CHOICES``, or a reason of ``neggen quality``.
        status: one of ``STATUS_CHOICES``.
    """
    return _keys(entries.table.filter(*_filters(search, side, negative, why, status)))


def queue(entries: Entries, *, side: str = ANY, status: str = TO_REVIEW) -> list[Key]:
    """Return the keys of what is to be looked at, worst first; what was not measured is last.

    Sides that nothing was written about are no part of it.
    """
    written = pl.col("negative") | (pl.col("status") == "rejected")
    found = entries.table.filter(written, *_filters("", side, ANY, ANY, status))
    return _keys(found.sort("badness", descending=True, nulls_last=True, maintain_order=True))


def reasons(entries: Entries) -> list[str]:
    """Return what ``neggen quality`` has found, most frequent first."""
    found = entries.table.filter(pl.col("why") != "")["why"].str.split("; ").explode()
    return found.value_counts(sort=True)["why"].to_list()


def _filters(search: str, side: str, negative: str, why: str, status: str) -> list[pl.Expr]:
    filters = [pl.col("text").str.contains(word, literal=True) for word in search.lower().split()]
    if side != ANY:
        filters.append(pl.col("modality") == _MODALITIES[side])
    if negative != ANY:
        filters.append(pl.col("negative") == (negative == NEGATIVE_CHOICES[1]))
    if why in (GOOD, BAD):
        filters.append((pl.col("why") != "") == (why == BAD))
    elif why != ANY:
        filters.append(pl.col("why").str.contains(why, literal=True))
    if status == TO_REVIEW:
        filters.append(pl.col("status").is_in(OPEN))
    elif status != ANY:
        filters.append(pl.col("status") == status)
    return filters


def _keys(table: pl.DataFrame) -> list[Key]:
    return list(table.select(KEY).iter_rows())
