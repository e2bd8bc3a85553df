"""Answers for the text side of a catalogue."""

from __future__ import annotations

import re

import numpy as np
from scipy.sparse import csr_matrix

from neggen.data.dataset import Dataset
from neggen.generation.catalogue.affinity import co_consumption_lift
from neggen.generation.catalogue.attributes import Attributes, Found, collect_attributes
from neggen.generation.catalogue.columns import read_columns
from neggen.generation.catalogue.contrast import Contrasts
from neggen.generation.catalogue.marking import Place, Spelling, answer_for
from neggen.generation.catalogue.prose import PHRASE, Run, passages, phrases, runs_of
from neggen.generation.catalogue.substitutes import substitutes
from neggen.generation.records import Answer

LEAST_ITEMS = 4
MOST_SHARE = 0.6
MOST_VALUES = 2500


def text_answers(data: Dataset, train: csr_matrix, seed: int) -> dict[int, Answer]:
    """Return an answer for each item whose text holds a value that can be exchanged.

    Args:
        data: the catalogue.
        train: training interactions, CSR ``[users, items]``.
        seed: seeds every draw.
    """
    columns = read_columns(data.item_table, data.text_columns)
    texts = passages(data.item_table, columns.prose)
    runs = [runs_of(text) for text in texts]
    found: list[Found] = [
        _without_brackets(in_columns) + in_prose
        for in_columns, in_prose in zip(columns.found, phrases(runs), strict=True)
    ]
    attributes = collect_attributes(
        found, least_items=LEAST_ITEMS, most_share=MOST_SHARE, most_values=MOST_VALUES
    )
    if not attributes.values:
        return {}
    lift = co_consumption_lift(train, attributes.membership, np.random.default_rng(seed))
    contrasts = Contrasts(attributes, lift, substitutes(attributes, runs))
    position = {
        value: index
        for index, value in enumerate(attributes.values)
        if attributes.slots[index] == PHRASE
    }
    places = [
        _places(item, text, runs[item], attributes, position) for item, text in enumerate(texts)
    ]
    spelling = Spelling()
    for text, occurrences in zip(texts, places, strict=True):
        for place in occurrences:
            spelling.add(attributes.values[place.value], text[place.start : place.end])
    answers = {}
    for item, text in enumerate(texts):
        rng = np.random.default_rng([seed, item])
        answer = answer_for(text, item, places[item], columns, contrasts, spelling, rng)
        if answer is not None:
            answers[item] = answer
    return answers


def _without_brackets(found: Found) -> Found:
    return [(slot, value.replace("[", "(").replace("]", ")")) for slot, value in found]


def _places(
    item: int, text: str, runs: list[Run], attributes: Attributes, position: dict[str, int]
) -> list[Place]:
    """Find where the item's values occur: those of columns first, then the longest phrases."""
    taken = np.zeros(len(text), dtype=bool)
    places = []

    def take(start: int, end: int, value: int) -> None:
        if not taken[start:end].any():
            taken[start:end] = True
            places.append(Place(start, end, value))

    for value in attributes.of_item(item):
        if attributes.slots[value] != PHRASE:
            pattern = rf"(?<!\w){re.escape(attributes.values[value])}(?!\w)"
            for match in re.finditer(pattern, text, re.IGNORECASE):
                take(match.start(), match.end(), value)
    for run in sorted(runs, key=lambda run: -run.words):
        if run.text in position:
            take(run.start, run.end, position[run.text])
    return places
