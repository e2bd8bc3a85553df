"""What the metadata of Amazon Reviews say about items, whatever the year calls it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from neggen.data.readers.records import others_note, place, records
from neggen.errors import NegGenError

ITEM = ("parent_asin", "asin")
IMAGES = ("images", "imageURLHighRes", "imageURL", "imUrl", "image")
SIZES = ("large", "hi_res", "thumb")
"""Of 2023: some 500, 1,500 and 40 pixels wide."""
TEXTS = {
    "title": (("title",), " "),
    "brand": (("brand", "store"), " "),
    "description": (("description",), " "),
    "features": (("features", "feature"), "; "),
    "categories": (("categories", "category"), ", "),
}
"""Our columns: what the files call them, and what is put between the entries of lists."""
FIELDS = (*ITEM, *IMAGES, "price", *(name for names, _ in TEXTS.values() for name in names))
PRICE = re.compile(r"\$?\s*([0-9][0-9,]{0,14}(?:\.[0-9]{1,6})?)")
LARGEST_PRICE = 1e15
ADDRESS = re.compile(r"https?://\S{1,2000}", re.IGNORECASE)
DEEPEST = 3
"""Lists in lists, from which texts and addresses are taken."""


def read_metadata(
    path: Path, needed: Container[str] | None, notes: list[str]
) -> tuple[pl.DataFrame, int]:
    """Read the metadata of ``needed`` items, or of all, and hold nothing else.

    Args:
        path: the file.
        needed: their ids; None takes all.
        notes: gets sentences on what was not taken.

    Returns:
        ``item_id``, the columns of ``TEXTS``, ``price`` and ``image``, the first web address of a
        picture; all text but ``price``. And how many records of other items there are.

    Raises:
        NegGenError: For a damaged file or a line without an id.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("item_id", *TEXTS, "price", "image")}
    taken: set[str] = set()
    unused: set[str] = set()
    others = repeated = 0
    odd_prices, first_odd = 0, ""
    for number, record in records(path, FIELDS, unused):
        item = first_of(record, ITEM)
        if not is_text(item):
            raise NegGenError(
                f"{place(path, number)} has no {' or '.join(ITEM)} that is text, but "
                f"{item!r:.60}; it is no metadata."
            )
        if needed is not None and item not in needed:
            others += 1
            continue
        if item in taken:
            repeated += 1
            continue
        taken.add(item)
        columns["item_id"].append(item)
        for name, (fields, between) in TEXTS.items():
            columns[name].append(_text(first_of(record, fields), between))
        price = _price(record.get("price"))
        if isinstance(price, str):
            odd_prices, first_odd = odd_prices + 1, first_odd or price
        columns["price"].append(price if isinstance(price, float) else None)
        columns["image"].append(_address(first_of(record, IMAGES)))
    if repeated:
        notes.append(f"Dropped {repeated:,} repeated items of {path}, keeping the first of each.")
    if odd_prices:
        notes.append(
            f"Left out {odd_prices:,} prices that are not one number, first {first_odd[:60]!r}."
        )
    notes.extend(others_note(unused, path))
    schema = dict.fromkeys(columns, pl.String) | {"price": pl.Float64}
    table = pl.DataFrame(columns, schema=schema)
    known = [name for name in table.columns if table[name].null_count() < len(table)]
    return table.select("item_id", *(name for name in known if name != "item_id")), others


def first_of(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first field that is there and not empty, or None."""
    return next((record[name] for name in names if record.get(name) not in (None, "", [])), None)


def is_text(value: Any) -> bool:
    """Return whether ``value`` can be an id: text of real characters, and not blank."""
    return isinstance(value, str) and bool(value.strip()) and _is_utf8(value)


def _is_utf8(text: str) -> bool:
    return text.isascii() or text.encode("utf-8", "ignore").decode() == text


def _text(value: Any, between: str) -> str | None:
    """Return the texts in a value, each once, or None if there are none."""
    return between.join(dict.fromkeys(_texts(value))) or None


def _texts(value: Any, depth: int = DEEPEST) -> Iterator[str]:
    if isinstance(value, str):
        # Half of a surrogate pair, which JSON can spell, is no character.
        if text := value.encode("utf-8", "ignore").decode().strip():
            yield text
    elif isinstance(value, list) and depth:
        for entry in value:
            yield from _texts(entry, depth - 1)


def _address(value: Any) -> str | None:
    """Return the first web address of a picture, of the best size that there is."""
    return next((found for size in SIZES for found in _addresses(value, size)), None)


def _addresses(value: Any, size: str, depth: int = DEEPEST) -> Iterator[str]:
    if isinstance(value, str):
        if ADDRESS.fullmatch(value.strip()) and _is_utf8(value):
            yield value.strip()
    elif isinstance(value, list) and depth:
        for entry in value:
            yield from _addresses(entry, size, depth - 1)
    elif isinstance(value, dict) and depth:
        yield from _addresses(value.get(size), size, depth - 1)


def _price(value: Any) -> float | str | None:
    """Return a price, or what stands there instead, or None if there is nothing."""
    if isinstance(value, float | int):
        # NaN is no price, and neither is infinity.
        return float(value) if 0 <= value < LARGEST_PRICE else None
    if not isinstance(value, str) or value.strip() in ("", "None"):
        return None
    match = PRICE.fullmatch(value.strip())
    return float(match[1].replace(",", "")) if match else value.strip()
