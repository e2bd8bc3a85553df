"""Answers for the text side of a catalogue."""

from __future__ import annotations

from collections import Counter
from threading import Event

import numpy as np
from scipy.sparse import csr_matrix

from neggen.data.dataset import Dataset
from neggen.generation.catalogue.affinity import co_consumption_lift
from neggen.generation.catalogue.attributes import Found, collect_attributes
from neggen.generation.catalogue.columns import Columns, read_columns
from neggen.generation.catalogue.contrast import Contrasts
from neggen.generation.catalogue.kinds import KIND, kinds
from neggen.generation.catalogue.marking import answer_for
from neggen.generation.catalogue.passages import passages
from neggen.generation.catalogue.places import Wording, places_of
from neggen.generation.catalogue.prose import PHRASE, phrases, runs_of
from neggen.generation.catalogue.stopping import until
from neggen.generation.catalogue.substitutes import substitutes
from neggen.generation.records import Answer

LEAST_ITEMS = 5
MOST_SHARE = 0.6
MOST_VALUES = 2500


def text_answers(data: Dataset, train: csr_matrix, seed: int, stop: Event) -> dict[int, Answer]:
    """Return an answer for each item whose text holds a value that can be exchanged.

    Args:
        data: the catalogue.
        train: training interactions, CSR ``[users, items]``.
        seed: seeds every draw.
        stop: ends it early.

    Raises:
        Stopped: If ``stop`` is set meanwhile.
    """
    columns = read_columns(data.item_table, data.text_columns)
    both = passages(data.item_table, columns.prose)
    texts = [text for _, text in both]
    said = [[run.text for run in runs_of(text)] for text in until(stop, texts)]
    named, titles = _names(columns, [title for title, _ in both])
    of_kind, written_kinds = kinds(
        titles, frozenset(word for text in texts for word in text.split() if word.islower())
    )
    attributes = collect_attributes(
        _recurring(named, of_kind, phrases(said), columns),
        least_items=1,
        most_share=MOST_SHARE,
        most_values=MOST_VALUES,
    )
    if not attributes.values:
        return {}
    position = {
        value: index
        for index, value in enumerate(attributes.values)
        if attributes.slots[index] == PHRASE
    }
    # The runs of all items would fill the memory; they are found again where they are needed.
    places = [
        places_of(item, text, runs_of(text), attributes, position, columns)
        for item, text in enumerate(until(stop, texts))
    ]
    wording = Wording(attributes, written_kinds)
    for text, found in zip(texts, places, strict=True):
        for place in found:
            wording.add(place, text)
    lift = co_consumption_lift(train, attributes.membership, np.random.default_rng(seed))
    runs = (runs_of(text) for text in until(stop, texts))
    contrasts = Contrasts(attributes, lift, substitutes(attributes, runs, wording.common()))
    answers = {}
    for item, text in enumerate(until(stop, texts)):
        rng = np.random.default_rng([seed, item])
        answer = answer_for(text, item, places[item], columns, contrasts, wording, rng)
        if answer is not None:
            answers[item] = answer
    return answers


def _recurring(
    named: list[Found], of_kind: list[Found], in_prose: list[Found], columns: Columns
) -> list[Found]:
    """Join what each item has, ``[items]``, leaving out phrases that hold a name, and what is rare.

    A rare brand or kind stays: it replaces nothing, but others can replace it.
    """
    names = {value.lower() for found in named for _, value in found}
    joined = [
        own + kind + [pair for pair in told if names.isdisjoint((pair[1], *pair[1].split()))]
        for own, kind, told in zip(named, of_kind, in_prose, strict=True)
    ]
    counts = Counter(pair for found in joined for pair in found)
    kept = {KIND, *columns.single}
    return [
        [pair for pair in found if pair[0] in kept or counts[pair] >= LEAST_ITEMS]
        for found in joined
    ]


def _names(columns: Columns, titles: list[str]) -> tuple[list[Found], list[str]]:
    """Find the names that titles begin with, such as brands.

    Returns:
        The values of each item, with those of its title where its column is empty, ``[items]``;
        and the titles without them.
    """
    counts = Counter(pair for found in columns.found for pair in found)
    known = sorted(
        (pair for pair, count in counts.items() if pair[0] in columns.single and count >= 2),
        key=lambda pair: (-len(pair[1]), pair),
    )
    named, rest = [], []
    for found, title in zip(columns.found, titles, strict=True):
        lowered = f"{title.lower()} "
        first = next((pair for pair in known if lowered.startswith(_beginning(pair[1]))), None)
        if first is not None and first[0] not in dict(found):
            found = [*found, first]
        named.append(found)
        rest.append(title if first is None else title[len(_beginning(first[1])) :])
    return named, rest


def _beginning(name: str) -> str:
    return f"{name.lower().removeprefix('the ')} "
