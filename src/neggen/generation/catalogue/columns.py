"""Attribute values that stand in columns of their own, and which columns are prose."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from neggen.generation.catalogue.attributes import Found
from neggen.generation.catalogue.passages import plain

LONGEST_VALUE_WORDS = 5
"""On average over the values of a categorical column."""
LONGEST_PART_WORDS = 3
"""The same between commas, because titles have commas too."""
PLACEHOLDERS = frozenset(
    {"", "-", "n/a", "na", "nan", "none", "null", "other", "unknown", "various"}
)
LEAST_RECURRING = 0.3
"""Share of rows whose value must recur in three items for the column to count as categorical."""


@dataclass(frozen=True)
class Columns:
    """The columns of a catalogue, sorted by what they hold.

    Attributes:
        single: categorical, one value an item.
        several: categorical, several values an item (lists, or text with commas).
        prose: free text, the shortest column first.
        found: the categorical values of each item; the slot is the column. ``[items]``
    """

    single: tuple[str, ...]
    several: tuple[str, ...]
    prose: tuple[str, ...]
    found: list[Found]


def read_columns(table: pl.DataFrame, names: tuple[str, ...]) -> Columns:
    """Sort the columns ``names`` of an item table ``[items]`` and read the categorical ones."""
    single, several, prose = [], [], []
    found: list[Found] = [[] for _ in range(len(table))]
    for name in names:
        column = table[name]
        is_list = column.dtype in (pl.List, pl.Array)
        whole = [_texts(value) for value in column]
        parts = whole if is_list else [_split_commas(texts) for texts in whole]
        if not is_list and _recurs(whole, LONGEST_VALUE_WORDS):
            single.append(name)
            values = whole
        elif _recurs(parts, LONGEST_VALUE_WORDS if is_list else LONGEST_PART_WORDS):
            several.append(name)
            values = parts
        else:
            prose.append(name)
            continue
        for item, texts in enumerate(values):
            found[item].extend((name, text) for text in dict.fromkeys(texts))
    words = {name: _mean_words(table[name]) for name in prose}
    # One word an item that never recurs is an identifier, not prose.
    prose = sorted((name for name in prose if words[name] >= 1.5), key=words.__getitem__)
    return Columns(tuple(single), tuple(several), tuple(prose), found)


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, pl.Series) else [value]
    texts = [plain(str(entry)) for entry in values if entry is not None]
    return [text for text in texts if text.lower() not in PLACEHOLDERS]


def _split_commas(texts: list[str]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _recurs(per_item: list[list[str]], most_words: int) -> bool:
    filled = [texts for texts in per_item if texts]
    counts = Counter(text for texts in filled for text in texts)
    if not counts or sum(len(text.split()) for text in counts) > most_words * len(counts):
        return False
    recurring = sum(any(counts[text] >= 3 for text in texts) for texts in filled)
    return len(counts) > 1 and recurring >= LEAST_RECURRING * len(filled)


def _mean_words(column: pl.Series) -> float:
    counts = [len(str(value).split()) for value in column if value is not None]
    return sum(counts) / max(len(counts), 1)
