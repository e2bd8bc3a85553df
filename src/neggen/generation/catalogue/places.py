"""Where an item's values stand in its passage, and how another value is written there."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from neggen.generation.catalogue.alternatives import GROUP_OF
from neggen.generation.catalogue.attributes import Attributes
from neggen.generation.catalogue.columns import Columns
from neggen.generation.catalogue.grammar import in_title_case, is_plural, plural, possessive
from neggen.generation.catalogue.kinds import KIND
from neggen.generation.catalogue.prose import PHRASE, Run


@dataclass(frozen=True, slots=True)
class Place:
    """One occurrence of a value in a passage.

    Attributes:
        start: position of its first letter.
        end: position after its last letter.
        value: position of the value.
        is_head: whether only the last word of a kind stands here.
        frames: what stands around a phrase.
    """

    start: int
    end: int
    value: int
    is_head: bool = False
    frames: tuple[str, ...] = ()


class Wording:
    """How the values of a catalogue are written."""

    def __init__(self, attributes: Attributes, kinds: frozenset[str]) -> None:
        """Keep what is known.

        Args:
            attributes: the values.
            kinds: kinds in the singular or plural in which they are usual.
        """
        self.values = attributes.values
        self.slots = attributes.slots
        self._kinds = kinds
        self._seen: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._frames: defaultdict[int, set[str]] = defaultdict(set)

    def add(self, place: Place, passage: str) -> None:
        """Take note of how a value is written in a place."""
        self._seen[place.value][passage[place.start : place.end]] += 1
        self._frames[place.value].update(place.frames)

    def common(self) -> frozenset[str]:
        """Return the values that were ever written in lower case."""
        return frozenset(
            self.values[value]
            for value, forms in self._seen.items()
            if any(form.islower() for form in forms)
        )

    def replacement(self, option: int, place: Place, passage: str) -> str | None:
        """Return how ``option`` is written in ``place``: its number, its case, its possessive.

        Returns:
            None if it is not usual in that number (there are no scissor and no softwares), or
            was not seen in any frame of the place.
        """
        written = passage[place.start : place.end]
        bare = re.sub(r"['’]s?$", "", written)
        text = self.values[option]
        if self.slots[option] == KIND:
            if is_plural(bare):
                text = plural(text)
            if text not in self._kinds:
                return None
            text = text.rpartition(" ")[2] if place.is_head else text
        elif text not in GROUP_OF and place.frames and not self._seen_in(place.frames, option):
            return None
        if self.slots[option] in (KIND, PHRASE):
            text = self._in_case(option, text, bare, passage, place)
        return possessive(text) if bare != written else text

    def _seen_in(self, frames: tuple[str, ...], option: int) -> bool:
        return not self._frames[option].isdisjoint(frames)

    def _in_case(self, option: int, text: str, model: str, passage: str, place: Place) -> str:
        forms = self._seen[option]
        if self.slots[option] == PHRASE and forms and not any(form.islower() for form in forms):
            return forms.most_common(1)[0][0]  # a name
        if model[:1].islower():
            return text
        begins = re.search(r"(?:^|[.!?] )$", passage[: place.start])
        further = re.match(r"\w+\W+(\w)", passage[place.start :])
        if begins and further and further[1].islower():
            return text[:1].upper() + text[1:]
        return in_title_case(text)


def places_of(
    item: int,
    passage: str,
    runs: list[Run],
    attributes: Attributes,
    position: dict[str, int],
    columns: Columns,
) -> list[Place]:
    """Find where the item's values stand: names first, then its kind, then the longest phrases.

    Args:
        item: internal index.
        passage: its text.
        runs: of the passage.
        attributes: the values.
        position: of the phrases among them.
        columns: the columns of the catalogue.
    """
    taken = np.zeros(len(passage), dtype=bool)
    places = []

    def take(
        start: int, end: int, value: int, *, is_head: bool = False, frames: tuple[str, ...] = ()
    ) -> None:
        if not taken[start:end].any():
            taken[start:end] = True
            places.append(Place(start, end, value, is_head, frames))

    def find(pattern: str, value: int, *, is_head: bool = False, is_name: bool = False) -> None:
        for match in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", passage, re.IGNORECASE):
            if is_name and match[0].islower() and not attributes.values[value].islower():
                continue  # the brand "Universal" is not meant by "universal"
            take(match.start(), match.end(), value, is_head=is_head)

    own = attributes.of_item(item)
    for value in sorted(own, key=lambda value: -len(attributes.values[value])):
        text = attributes.values[value]
        slot = attributes.slots[value]
        # One word of a column of several, such as the genre "War", has other meanings in prose.
        if slot in columns.single or (slot in columns.several and " " in text):
            find(rf"{re.escape(text)}(?:['’]s)?", value, is_name=True)
    for value in own:
        if attributes.slots[value] == KIND:
            kind = attributes.values[value]
            find(_either_number(kind), value)
            head = kind.rpartition(" ")[2]
            if head != kind:
                find(_either_number(head), value, is_head=True)
    for run in sorted(runs, key=lambda run: -run.words):
        if run.text in position:
            take(run.start, run.end, position[run.text], frames=run.frames)
    return places


def _either_number(kind: str) -> str:
    return f"{re.escape(plural(kind))}|{re.escape(kind)}"
