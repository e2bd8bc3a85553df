"""Write an item's text with its key attributes in brackets, and what to put in their place."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from neggen.generation.catalogue.columns import Columns
from neggen.generation.catalogue.contrast import Contrasts
from neggen.generation.catalogue.prose import PHRASE
from neggen.generation.records import Answer

MOST_VALUES = 5
ENOUGH_VALUES = 3
MOST_OF_A_COLUMN = 2
MOST_SLOTS = 8
"""Occurrences: a value that stands twice takes two slots."""
WEAK = 0.1
"""Log-lift under which a value is marked only to have ``ENOUGH_VALUES``."""


@dataclass(frozen=True)
class Place:
    """One occurrence of a value in a passage."""

    start: int
    end: int
    value: int


class Spelling:
    """How phrases are written in the catalogue, so that a replacement is spelled like one."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, phrase: str, written: str) -> None:
        """Count one occurrence of a lower-cased phrase."""
        self._seen[phrase][written] += 1

    def like(self, phrase: str, model: str) -> str:
        """Return ``phrase`` in the usual spelling, capitalized where ``model`` is."""
        forms = self._seen[phrase]
        if model[:1].islower() and phrase in forms:
            return phrase
        usual = forms.most_common(1)[0][0] if forms else phrase
        if model[:1].isupper():
            return " ".join(word[:1].upper() + word[1:] for word in usual.split(" "))
        return usual


def answer_for(
    passage: str,
    item: int,
    places: list[Place],
    columns: Columns,
    contrasts: Contrasts,
    spelling: Spelling,
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
        spelling: how phrases are written.
        rng: draws among the most contrasting replacements.

    Returns:
        The answer, or None if nothing can be exchanged.
    """
    attributes = contrasts.attributes
    own = set(attributes.of_item(item))
    in_place = defaultdict(list)
    for place in places:
        in_place[place.value].append(place)
    chosen: dict[int, int] = {}
    of_column: Counter[str] = Counter()
    slots = 0
    for value in contrasts.strongest(item):
        slot = attributes.slots[value]
        if len(chosen) == MOST_VALUES or (
            contrasts.strength[value] < WEAK and len(chosen) >= ENOUGH_VALUES
        ):
            break
        if slot == PHRASE and value not in in_place:
            continue  # it is part of a longer phrase here
        if slot != PHRASE and of_column[slot] == MOST_OF_A_COLUMN:
            continue
        slots_taken = max(1, len(in_place[value]))
        if slots + slots_taken > MOST_SLOTS:
            continue
        articles = [_article_before(passage, place.start) for place in in_place[value]]

        def fits(option: int, articles: list[str] = articles) -> bool:
            return all(_agrees(article, attributes.values[option]) for article in articles)

        replacement = contrasts.replacement(value, own | set(chosen.values()), rng, fits)
        if replacement is not None:
            chosen[value] = replacement
            of_column[slot] += 1
            slots += slots_taken
    if not chosen:
        return None

    parts, replacements, end = [], [], 0
    for place in sorted(places, key=lambda place: place.start):
        if place.value in chosen:
            written = passage[place.start : place.end]
            parts += [passage[end : place.start], f"[{written}]"]
            text = attributes.values[chosen[place.value]]
            is_phrase = attributes.slots[place.value] == PHRASE
            replacements.append(spelling.like(text, written) if is_phrase else text)
            end = place.end
    marked = "".join([*parts, passage[end:]])
    for slot in (*columns.single, *columns.several):
        told = [
            value for value in chosen if attributes.slots[value] == slot and not in_place[value]
        ]
        if told:
            marked += " " + _sentence(
                slot, [attributes.values[value] for value in told], several=slot in columns.several
            )
            replacements += [attributes.values[chosen[value]] for value in told]
    return Answer(marked=marked.strip(), replacements=tuple(replacements))


def _sentence(column: str, values: list[str], *, several: bool) -> str:
    name = re.sub(r"[\[\]_\s]+", " ", column).strip().lower()
    marked = " and ".join(f"[{value}]" for value in values)
    return f"The {name} include {marked}." if several else f"The {name} is {marked}."


def _article_before(passage: str, start: int) -> str:
    match = re.search(r"\b(an?) $", passage[:start], re.IGNORECASE)
    return match.group(1).lower() if match else ""


def _agrees(article: str, word: str) -> bool:
    starts_with_vowel = word[:1].lower() in "aeiou"
    return article == "" or starts_with_vowel == (article == "an")
