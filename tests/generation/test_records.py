from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from neggen.errors import NegGenError
from neggen.generation.record_files import count_records, read_records
from neggen.generation.records import SCHEMA, Record, records_frame

GOOD = {
    "item_id": "7",
    "modality": "text",
    "description": "A red mug",
    "template": "A [MASK] mug",
    "values": ("red",),
    "replacements": ("blue",),
    "negative": "A blue mug",
}


@pytest.mark.parametrize(
    "broken",
    [
        {"description": "The red mug"},
        {"negative": "A blue lamp"},
        {"values": ("red", "big")},
        {"template": "A red mug"},
    ],
)
def test_no_record_exists_whose_texts_differ_outside_the_slots(broken: dict[str, object]) -> None:
    Record(**GOOD)
    with pytest.raises(ValidationError):
        Record(**{**GOOD, **broken})


def test_records_survive_a_file(tmp_path: Path) -> None:
    frame = records_frame([Record(**GOOD)], "me")
    frame.write_parquet(tmp_path / "negatives.parquet")
    read = read_records(tmp_path / "negatives.parquet")
    assert read.schema == SCHEMA
    assert read.equals(frame)


def test_a_row_that_a_person_broke_is_named(tmp_path: Path) -> None:
    path = tmp_path / "negatives.parquet"
    frame = records_frame([Record(**GOOD), Record(**{**GOOD, "item_id": "8"})], "me")
    broken = pl.when(pl.col("item_id") == "8").then(pl.lit("Oops")).otherwise(pl.col("negative"))
    frame.with_columns(negative=broken).write_parquet(path)
    with pytest.raises(NegGenError, match=r"row 1 \(item '8', text\)"):
        read_records(path)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "negatives.parquet"
    with pytest.raises(NegGenError, match="does not exist"):
        read_records(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(NegGenError, match="not a readable Parquet"):
        read_records(path)
    records_frame([Record(**GOOD)], "me").drop("template").write_parquet(path)
    with pytest.raises(NegGenError, match="lacks the column 'template'"):
        read_records(path)


def test_records_are_counted_by_modality_and_generator(tmp_path: Path) -> None:
    path = tmp_path / "negatives.parquet"
    made = [Record(**{**GOOD, "item_id": item}) for item in "12"]
    pictured = Record(**{**GOOD, "modality": "image"})
    frames = [records_frame(made, "somebody"), records_frame([pictured], "another")]
    pl.concat(frames).write_parquet(path)
    assert count_records(path) == {("text", "somebody"): 2, ("image", "another"): 1}
    path.write_bytes(b"PAR1 but no Parquet")
    with pytest.raises(NegGenError, match=r"negatives\.parquet"):
        count_records(path)
