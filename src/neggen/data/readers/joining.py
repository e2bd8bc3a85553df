"""From the tables of a published data set to a data set: ratings, items and pictures."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from neggen.data.dataset import Dataset
from neggen.data.readers.base import ReadOptions
from neggen.errors import NegGenError


def rated(
    log: pl.DataFrame, options: ReadOptions, log_path: Path, notes: list[str]
) -> pl.DataFrame:
    """Return the interactions that count, without their ratings: all, or those rated enough.

    Args:
        log: interactions, with a column ``rating`` of numbers if they have ratings.
        options: says from which rating on they count.
        log_path: the file, for messages.
        notes: gets a sentence on what became of the ratings.

    Raises:
        NegGenError: If a rating is asked for and missing, or none is high enough.
    """
    least = options.min_rating
    if "rating" not in log.columns or not log["rating"].dtype.is_numeric():
        if least is not None:
            raise NegGenError(f"{log_path} has no ratings in numbers; leave --min-rating out.")
        return log
    ratings = log["rating"].cast(pl.Float64).fill_nan(None)
    log = log.drop("rating")
    if least is None:
        if ratings.n_unique() > 1:
            notes.append(
                "Every rating counts as an interaction, low ones too; --min-rating R keeps those "
                "of at least R."
            )
        return log
    if ratings.has_nulls():
        row = int(ratings.is_null().arg_max() or 0) + 1
        raise NegGenError(
            f"Interaction {row:,} of {log_path} has no rating; give it one, or leave --min-rating "
            f"out."
        )
    kept = log.filter(ratings >= least)
    if kept.is_empty():
        raise NegGenError(
            f"No interaction of {log_path} is rated {least:g} or more; lower --min-rating."
        )
    if dropped := len(log) - len(kept):
        notes.append(f"Dropped {dropped:,} of {len(log):,} interactions rated under {least:g}.")
    return kept


def left_out(count: int, items_path: Path) -> list[str]:
    """Return a note on items that are not taken, if there are any."""
    if not count:
        return []
    return [f"Left out {count:,} items of {items_path} that nobody used; --all-items keeps them."]


def joined(
    log: pl.DataFrame,
    items: pl.DataFrame | None,
    paths: tuple[Path, Path | None],
    options: ReadOptions,
    notes: list[str],
) -> Dataset:
    """Build the data set of the items that occur, with pictures downloaded if that is wanted.

    An item without a row is kept without attributes unless ``drop_unknown``; a row that nobody
    used is left out unless ``all_items``.

    Args:
        log: interactions without ratings.
        items: what is known of the items, their ids as text like those of ``log``.
        paths: the files of the two tables, for messages; pictures lie beside that of the items.
        options: columns, pictures and which items to keep.
        notes: what was noted so far.

    Raises:
        NegGenError: See :meth:`Dataset.from_frames`.
    """
    log_path, items_path = paths
    folder = options.images
    if items is not None and items_path is not None:
        items = _rows(log, items, items_path, options, notes)
        if options.downloads is not None:
            items = _downloaded(items, items_path, options, notes)
            folder = options.downloads.folder
        elif folder is None and options.image_column in items.columns:
            folder = items_path.parent
    elif options.downloads is not None:
        raise NegGenError(
            f"{log_path} comes without a table of items, so that there are no pictures to "
            f"download; leave --download-images out."
        )
    data = Dataset.from_frames(
        log,
        items,
        folder,
        user_column=options.user_column,
        item_column=options.item_column,
        image_column=options.image_column,
        drop_unknown=options.drop_unknown,
        names=(f"The interactions in {log_path}", f"The items in {items_path}"),
    )
    return data.replace(notes=(*notes, *data.notes))


def _rows(
    log: pl.DataFrame,
    items: pl.DataFrame,
    items_path: Path,
    options: ReadOptions,
    notes: list[str],
) -> pl.DataFrame:
    column = options.item_column
    if column not in log.columns or column not in items.columns:
        return items  # building the data set says what is missing
    used = log.select(column).unique(maintain_order=True)
    kept = items
    if not options.all_items:
        kept = items.join(used, on=column, how="semi", maintain_order="left")
        notes.extend(left_out(len(items) - len(kept), items_path))
    unknown = used.join(items, on=column, how="anti", maintain_order="left")
    if unknown.is_empty() or options.drop_unknown:
        return kept
    notes.append(
        f"{len(unknown):,} of {len(used):,} items have no row in {items_path} and so no text, "
        f"first '{unknown[column][0]}'; --drop-unknown drops them."
    )
    return pl.concat([kept, unknown], how="diagonal")


def _downloaded(
    items: pl.DataFrame, items_path: Path, options: ReadOptions, notes: list[str]
) -> pl.DataFrame:
    from neggen.data.download import download_images

    assert options.downloads is not None
    column = options.image_column
    table, remarks = items, tuple[str, ...]()
    if column in items.columns:
        table, remarks = download_images(items, column, options.downloads)
    if table.equals(items):
        raise NegGenError(
            f"The items in {items_path} have no web address to download a picture from; leave "
            f"--download-images out."
        )
    notes.extend(remarks)
    return table
