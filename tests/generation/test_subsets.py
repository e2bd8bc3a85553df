"""Negatives in which only some slots are replaced: from the description to the negative."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neggen.generation.records import MASK, Record, check_records, fill, records_frame
from neggen.generation.subsets import attributes_alone, one_slot_negatives, with_slots

text = st.text(max_size=8).filter(lambda written: MASK not in written)
"""Context; a value may hold a mask, since what is filled in is never read again."""
slots = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8), text), max_size=5)


def record_of(start: str, parts: list[tuple[str, str, str]]) -> Record:
    template = start + "".join(MASK + after for _, _, after in parts)
    values, replacements = (tuple(part[side] for part in parts) for side in (0, 1))
    return Record(
        item_id="7", modality="text", template=template, values=values, replacements=replacements,
        description=fill(template, values), negative=fill(template, replacements),
    )  # fmt: skip


@given(start=st.just("A "), parts=slots)
def test_no_slot_is_the_description_and_all_slots_are_the_negative(start, parts) -> None:
    record = record_of(start, parts)
    assert with_slots(record, ()) == record.description
    assert with_slots(record, range(len(parts))) == record.negative


@given(parts=slots)
def test_a_slot_is_replaced_if_and_only_if_it_was_asked_for(parts) -> None:
    record = record_of("A ", parts)
    for size in range(len(parts) + 1):
        for chosen in combinations(range(len(parts)), size):
            expected = "A " + "".join(
                (new if slot in chosen else old) + after
                for slot, (old, new, after) in enumerate(parts)
            )
            assert with_slots(record, set(chosen)) == expected


def test_hardest_negatives_change_one_slot_each() -> None:
    record = record_of("A ", [("red", "blue", " mug with "), ("dots", "stripes", ".")])
    assert one_slot_negatives(record) == ("A blue mug with dots.", "A red mug with stripes.")
    assert one_slot_negatives(record_of("A mug.", [])) == ()


@pytest.mark.parametrize("slot", [-1, 2])
def test_there_is_no_such_slot(slot: int) -> None:
    record = record_of("A ", [("red", "blue", " mug with "), ("dots", "stripes", ".")])
    with pytest.raises(ValueError, match=f"no slot {slot} among 2"):
        with_slots(record, {0, slot})


def test_attributes_alone_are_records_without_context() -> None:
    record = Record(
        item_id="7",
        modality="text",
        description="A red mug with dots.",
        template="A [MASK] mug with [MASK].",
        values=("red", "dots"),
        replacements=("blue", "stripes"),
        negative="A blue mug with stripes.",
    )
    single = record.model_copy(
        update={
            "template": "A [MASK].",
            "values": ("mug",),
            "replacements": ("cup",),
            "description": "A mug.",
            "negative": "A cup.",
        }
    )
    frame = records_frame([record, single], "test")
    alone = attributes_alone(frame)
    check_records(alone, "these")
    assert alone["description"].to_list() == ["red, dots", "mug"]
    assert alone["negative"].to_list() == ["blue, stripes", "cup"]
    assert alone.select("item_id", "values", "replacements").equals(
        frame.select("item_id", "values", "replacements")
    )
    assert attributes_alone(alone).equals(alone)
