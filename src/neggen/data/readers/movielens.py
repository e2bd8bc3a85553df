"""MovieLens as it is published: ml-100k, ml-1m and ml-10m, and the CSV files of later ones.

F. M. Harper and J. A. Konstan, "The MovieLens datasets: history and context" (2015).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from neggen.data.dataset import Dataset
from neggen.data.readers.base import ReadOptions, unused_note
from neggen.data.readers.files import BLOCK_BYTES, read_table
from neggen.data.readers.joining import joined, rated
from neggen.errors import NegGenError, first_line

LOG_TYPES = {
    "user_id": pa.int64(),
    "item_id": pa.int64(),
    "rating": pa.float64(),
    "timestamp": pa.int64(),
}
CSV_HEADER = b"userId,movieId,rating,timestamp"
NO_GENRES = "(no genres listed)"
GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
"""The order of the flags in ``u.item``, as its README has it."""
MOST_TAGS = 10


class MovieLensReader:
    """Ratings, titles, genres and tags in one of three layouts."""

    name = "movielens"
    layout = "u.data and u.item, ratings.dat and movies.dat, or ratings.csv and movies.csv"
    heeds = frozenset({"drop_unknown", "min_rating", "all_items"})

    def recognizes(self, path: Path) -> bool:
        """Return whether ``path`` is a folder with ratings of MovieLens."""
        return path.is_dir() and _layout(path) is not None

    def read(self, path: Path, options: ReadOptions) -> Dataset:
        """Read ratings and movies, and how movies are tagged if that is known.

        Raises:
            NegGenError: For a damaged file.
        """
        layout = _layout(path)
        assert layout is not None  # recognized
        log_path, delimiter = path / layout[0], layout[1]
        items_path, tags_path = path / layout[2], path / "tags.csv"
        notes: list[str] = []
        log = rated(_ratings(log_path, delimiter), options, log_path, notes)
        items, used = None, [log_path.name]
        if items_path.is_file():
            items = layout[3](items_path)
            used.append(items_path.name)
            if delimiter == "," and tags_path.is_file():
                items = items.join(
                    _tags(tags_path), on="item_id", how="left", maintain_order="left"
                )
                used.append(tags_path.name)
        else:
            notes.append(f"There is no {items_path.name} beside {log_path.name}: no titles.")
        data = joined(log, items, (log_path, items_path), options, notes)
        return data.replace(notes=data.notes + unused_note(path, used))


def _layout(folder: Path) -> tuple[str, str, str, Callable[[Path], pl.DataFrame]] | None:
    """Return the file of ratings, its delimiter, the file of movies and how to read that."""
    if (folder / "u.data").is_file():
        return "u.data", "\t", "u.item", _movies_100k
    if (folder / "ratings.dat").is_file():
        return "ratings.dat", "::", "movies.dat", _movies_dat
    table = folder / "ratings.csv"
    if table.is_file():
        with table.open("rb") as file:
            header = file.readline(len(CSV_HEADER) + 8)
        if header.removeprefix(b"\xef\xbb\xbf").strip() == CSV_HEADER:
            return table.name, ",", "movies.csv", _movies_csv
    return None


def _ratings(path: Path, delimiter: str) -> pl.DataFrame:
    """Return ``user_id`` and ``item_id`` as text, ``rating`` and ``timestamp`` in seconds."""
    source: Path | io.BytesIO = path
    if len(delimiter) > 1:  # Arrow takes one character
        source, delimiter = io.BytesIO(path.read_bytes().replace(b"::", b"\t")), "\t"
    try:
        table = arrow_csv.read_csv(
            source,
            # One thread: only then does Arrow count the rows.
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK_BYTES,
                column_names=list(LOG_TYPES),
                skip_rows=int(delimiter == ","),
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, quote_char=False),
            convert_options=arrow_csv.ConvertOptions(column_types=LOG_TYPES),
        )
    except pa.ArrowInvalid as error:
        reason = first_line(error)[:200]
        raise NegGenError(f"{path} has a row that is no rating: {reason}.") from None
    return pl.DataFrame(table).with_columns(pl.col("user_id", "item_id").cast(pl.String))


def _movies_100k(path: Path) -> pl.DataFrame:
    rows = []
    for number, line in _lines(path):
        movie, *texts = line.split("|")
        flags = texts[-len(GENRES_100K) :]
        if len(texts) != 4 + len(GENRES_100K) or not set(flags) <= {"0", "1"}:
            raise NegGenError(
                f"Line {number:,} of {path} has {1 + len(texts)} values; a movie has its number, "
                f"title, two dates, an address and {len(GENRES_100K)} flags, with | between."
            )
        genres = [name for name, flag in zip(GENRES_100K, flags, strict=True) if flag == "1"]
        rows.append((movie, texts[0], ", ".join(genres)))
    return _movies(rows)


def _movies_dat(path: Path) -> pl.DataFrame:
    rows = []
    for number, line in _lines(path):
        movie, _, rest = line.partition("::")
        title, _, genres = rest.rpartition("::")
        if not title:
            raise NegGenError(
                f"Line {number:,} of {path} is no movie::title::genres, but {line[:60]!r}."
            )
        rows.append((movie, title, genres.replace("|", ", ")))
    return _movies(rows)


def _movies_csv(path: Path) -> pl.DataFrame:
    table = read_table(path)
    _refuse_without(table, ("movieId", "title", "genres"), path)
    return _movies(
        (movie, title, genres.replace("|", ", "))
        for movie, title, genres in table.select("movieId", "title", "genres").iter_rows()
    )


def _movies(rows: Iterable[tuple[str, str, str]]) -> pl.DataFrame:
    schema = dict.fromkeys(("item_id", "title", "genres"), pl.String)
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.with_columns(pl.col("title", "genres").replace(["", NO_GENRES], None))


def _lines(path: Path) -> list[tuple[int, str]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # as the older ones are
    numbered = enumerate(text.split("\n"), start=1)
    return [(number, line.rstrip("\r")) for number, line in numbered if line.strip()]


def _tags(path: Path) -> pl.DataFrame:
    """Return the tags of each movie that most people gave it, with commas between."""
    table = read_table(path)
    _refuse_without(table, ("movieId", "tag"), path)
    counted = (
        table.select(item_id="movieId", tag=pl.col("tag").str.strip_chars().str.to_lowercase())
        .filter(pl.col("tag") != "")
        .group_by("item_id", "tag")
        .len()
        .sort(["item_id", "len", "tag"], descending=[False, True, False])
    )
    most = counted.group_by("item_id", maintain_order=True).head(MOST_TAGS)
    return most.group_by("item_id", maintain_order=True).agg(tags=pl.col("tag").str.join(", "))


def _refuse_without(table: pl.DataFrame, names: tuple[str, ...], path: Path) -> None:
    if missing := [name for name in names if name not in table.columns]:
        raise NegGenError(f"{path} lacks {', '.join(missing)}; it has {', '.join(table.columns)}.")
