"""Measures of texts: planted duplicates, stock answers and changes are found, and only they."""

from __future__ import annotations

import doctest

import polars as pl
import pytest

from neggen.generation.records import SCHEMA, fill
from neggen.quality import texts
from neggen.quality.texts import distinct, stock_answers, text_measures


def record(item: int, template: str, values, replacements, modality: str = "text", **changes):
    row = {
        "item_id": str(item),
        "modality": modality,
        "completion": 0,
        "description": fill(template, tuple(values)),
        "template": template,
        "values": list(values),
        "replacements": list(replacements),
        "negative": fill(template, tuple(replacements)),
        "generator": "test",
    }
    return {**row, **changes}


def frame(*rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def test_examples_in_docstrings() -> None:
    results = doctest.testmod(texts)
    assert results.failed == 0
    assert results.attempted > 0


def test_slots_and_context() -> None:
    measured = text_measures(
        frame(
            record(1, "A [MASK] mug with [MASK].", ["red", "tiny dots"], ["blue", "stripes"]),
            record(2, "[MASK]", ["Everything"], ["Nothing"]),
        )
    )
    assert measured["slots"].to_list() == [2, 1]
    assert measured["context_share"].to_list() == [3 / 6, 0]
    assert measured["unchanged"].to_list() == [1, 1]


def test_a_change_outside_the_slots_is_seen() -> None:
    changed = record(
        1, "A [MASK] mug with [MASK].", ["red", "dots"], ["blue", "stripes"],
        negative="The blue mug with stripes.",
    )  # fmt: skip
    assert text_measures(frame(changed))["unchanged"].to_list() == [2 / 3]


def test_exactly_the_planted_duplicates_are_found() -> None:
    rows = [
        record(item, "A [MASK] mug.", [f"colour {item}"], [f"shade {item}"]) for item in range(9)
    ]
    rows[3] = record(3, "A [MASK] mug.", ["colour 3"], ["shade 5"])
    rows[7] = record(7, "A [MASK] mug.", ["colour 7"], ["COLOUR 2"])  # what item 2 is
    rows.append(record(9, "A [MASK] mug.", ["x"], ["shade 8"], modality="image"))  # not that of 8
    assert text_measures(frame(*rows))["duplicate"].arg_true().to_list() == [3, 5, 7]


def stocked(count: int, true: int) -> pl.DataFrame:
    """600 mugs, of which ``count`` are completed with blue and ``true`` others are blue."""
    rows = []
    for item in range(600):
        value = "blue" if item >= 600 - true else f"colour {item}"
        replacements = ["Blue" if item < count else f"shade {item}", f"size {item}"]
        rows.append(record(item, "A [MASK] mug, [MASK].", [value, f"big {item}"], replacements))
    return frame(*rows)


def test_a_stock_answer_is_found_and_counted() -> None:
    records = stocked(30, true=2)
    assert stock_answers(records).rows() == [("text", "blue", 30, 2)]
    shares = text_measures(records)["stock_share"].to_list()
    assert shares == [0.5] * 30 + [0.0] * 570


@pytest.mark.parametrize(("count", "true"), [(9, 0), (30, 20)])
def test_a_usual_answer_is_none(count: int, true: int) -> None:
    assert stock_answers(stocked(count, true)).is_empty()


def test_an_item_with_several_completions_counts_once() -> None:
    rows = [
        record(1, "A [MASK] mug.", ["red"], ["blue"], completion=completion)
        for completion in range(40)
    ]
    assert stock_answers(frame(*rows)).is_empty()


def test_distinct() -> None:
    phrases = ["a red mug", "A red pen", "x"]
    assert distinct(phrases, 1) == 5 / 7
    assert distinct(phrases, 2) == 3 / 4
    assert distinct(["x"], 2) is None
