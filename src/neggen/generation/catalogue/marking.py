"""Write an item's text with its key attributes in brackets, and what to put in their place."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import numpy as np

from neggen.generation.catalogue.columns import Columns
from neggen.generation.catalogue.contrast import Contrasts, Exchange
from neggen.generation.catalogue.grammar import takes_an
from neggen.generation.catalogue.kinds import KIND
from neggen.generation.catalogue.places import Place, Wording
from neggen.generation.catalogue.prose import PHRASE
from neggen.generation.parsing import record_from_answer
from neggen.generation.records import Answer, InvalidAnswer
from neggen.generation.screening import screen_replacement, screen_together

MOST_VALUES = 5
ENOUGH_VALUES = 3
MOST_OF_A_COLUMN = 2
MOST_SLOTS = 8
"""Occurrences: a value that stands twice takes two slots."""
WEAK = 0.05
"""Log-lift under which a value is marked only to have ``ENOUGH_VALUES``."""


def answer_for(
    passage: str,
    item: int,
    places: list[Place],
    columns: Columns,
    contrasts: Contrasts,
    wording: Wording,
    rng: np.random.Generator,
) -> Answer | None:
    """Mark the strongest values of an item and draw their replacements.

    Values that occur in the passage are marked in place, everywhere they occur; values of columns
    that do not are told in a sentence of their own.

    Args:
        passage: the item's own text, without square brackets.
        item: internal index.
        places: where values occur in the passage, not overlapping.
        columns: the columns of the catalogue.
        contrasts: the values, ranked by behavior.
        wording: how values are written.
        rng: draws among the most contrasting replacements.

    Returns:
        The answer, or None if nothing can be exchanged.
    """
    attributes = contrasts.attributes
    in_place = defaultdict(list)
    for place in places:
        in_place[place.value].append(place)
    exchange = Exchange(contrasts, item, rng)
    chosen: dict[int, int] = {}
    of_column: Counter[str] = Counter()
    slots = 0
    by_strength = contrasts.strongest(item)
    # What a thing is comes first, however few items tell how much is decided by it.
    for value in sorted(by_strength, key=lambda value: attributes.slots[value] != KIND):
        slot = attributes.slots[value]
        is_column = slot in columns.single or slot in columns.several
        if len(chosen) == MOST_VALUES or (
            contrasts.strength[value] < WEAK and len(chosen) >= ENOUGH_VALUES
        ):
            break
        if value not in in_place and not is_column:
            continue  # it is part of a longer phrase here
        if slot != PHRASE and of_column[slot] == MOST_OF_A_COLUMN:
            continue
        slots_taken = max(1, len(in_place[value]))
        if slots + slots_taken > MOST_SLOTS:
            continue

        def fits(option: int, value: int = value) -> bool:
            return _fits(passage, value, option, in_place[value], wording)

        replacement = exchange.replacement(value, fits)
        if replacement is not None:
            chosen[value] = replacement
            of_column[slot] += 1
            slots += slots_taken
    while chosen:
        answer = _write(passage, places, chosen, columns, wording)
        try:
            record_from_answer("", "text", answer)
        except InvalidAnswer:
            chosen.popitem()  # the weakest; together they said too much, or the same twice
        else:
            return answer
    return None


def _fits(passage: str, value: int, option: int, places: list[Place], wording: Wording) -> bool:
    """Return whether an option can stand in every place of a value, and means something else."""
    own, other = wording.values[value], wording.values[option]
    if wording.slots[value] == KIND and not set(own.split()).isdisjoint(other.split()):
        return False  # a photo printer is too much like a monochrome printer
    pairs = [(own, other)]
    for place in places:
        text = wording.replacement(option, place, passage)
        article = re.search(r"\b(an?) $", passage[: place.start], re.IGNORECASE)
        if text is None or (article and takes_an(text) != (article[1].lower() == "an")):
            return False
        pairs.append((passage[place.start : place.end], text))
    try:
        for mine, replacement in pairs:
            screen_replacement(mine, replacement)
        screen_together(*zip(*pairs, strict=True))
    except InvalidAnswer:
        return False
    return True


def _write(
    passage: str,
    places: list[Place],
    chosen: dict[int, int],
    columns: Columns,
    wording: Wording,
) -> Answer:
    parts, replacements, end = [], [], 0
    told = dict(chosen)
    for place in sorted(places, key=lambda place: place.start):
        if place.value in chosen:
            told.pop(place.value, None)
            parts += [passage[end : place.start], f"[{passage[place.start : place.end]}]"]
            text = wording.replacement(chosen[place.value], place, passage)
            assert text is not None  # it fits
            replacements.append(text)
            end = place.end
    marked = "".join([*parts, passage[end:]])
    for column in (*columns.single, *columns.several):
        values = [value for value in told if wording.slots[value] == column]
        if values:
            several = column in columns.several
            marked += " " + _sentence(
                column, [wording.values[value] for value in values], several=several
            )
            replacements += [wording.values[told[value]] for value in values]
    return Answer(marked=marked.strip(), replacements=tuple(replacements))


def _sentence(column: str, values: list[str], *, several: bool) -> str:
    name = re.sub(r"[\[\]_\s]+", " ", column).strip().lower()
    marked = " and ".join(f"[{value}]" for value in values)
    return f"The {name} include {marked}." if several else f"The {name} is {marked}."
