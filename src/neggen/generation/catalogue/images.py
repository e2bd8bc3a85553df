"""Answers for the picture side of a catalogue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
from scipy.sparse import csr_matrix

from neggen.data.dataset import Dataset
from neggen.data.picture import UnreadablePicture, open_picture
from neggen.generation.catalogue.affinity import co_consumption_lift
from neggen.generation.catalogue.attributes import Found, collect_attributes
from neggen.generation.catalogue.contrast import Contrasts, Exchange
from neggen.generation.catalogue.pictures import Measures, measure
from neggen.generation.catalogue.scene import SENTENCES, in_words
from neggen.generation.catalogue.stopping import Stopped, until
from neggen.generation.catalogue.substitutes import substitutes
from neggen.generation.inputs import describable, read_picture
from neggen.generation.records import Answer

SLOTS = 4
DECODED_SIDE = 128
LEAST_ITEMS = 4


def image_answers(data: Dataset, train: csr_matrix, seed: int, stop: Event) -> dict[int, Answer]:
    """Return an answer for each item with a readable picture.

    Args:
        data: the catalogue.
        train: training interactions, CSR ``[users, items]``.
        seed: seeds every draw.
        stop: ends it early.

    Raises:
        Stopped: If ``stop`` is set meanwhile.
    """
    measures = _measure_all(data, stop)
    words = dict(zip(measures, in_words(list(measures.values())), strict=True))
    per_item: list[Found] = [words.get(item, []) for item in range(len(data.item_ids))]
    attributes = collect_attributes(
        per_item, least_items=LEAST_ITEMS, most_share=1.0, most_values=1000
    )
    if not attributes.values:
        return {}
    lift = co_consumption_lift(train, attributes.membership, np.random.default_rng(seed))
    contrasts = Contrasts(attributes, lift, substitutes(attributes, [], frozenset()))
    answers = {
        item: _answer(item, dict(found), contrasts, np.random.default_rng([seed, item]))
        for item, found in until(stop, words.items())
    }
    return {item: answer for item, answer in answers.items() if answer is not None}


def _measure_all(data: Dataset, stop: Event) -> dict[int, Measures]:
    def look(item: int) -> Measures | None:
        if stop.is_set():
            raise Stopped
        path = data.image_path(item)
        assert path is not None  # it is describable
        try:
            picture = open_picture(read_picture(path, str(data.item_ids[item])), DECODED_SIDE)
        except UnreadablePicture:
            return None  # the item then has no answer, and the run says so
        return measure(picture)

    items = describable(data, "image")
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # decoding leaves the lock
        found = dict(zip(items, threads.map(look, items), strict=True))
    return {item: measures for item, measures in found.items() if measures is not None}


def _answer(
    item: int, words: Mapping[str, str], contrasts: Contrasts, rng: np.random.Generator
) -> Answer | None:
    attributes = contrasts.attributes
    exchange = Exchange(contrasts, item, rng)
    chosen: dict[str, str] = {}
    for value in contrasts.strongest(item):
        if len(chosen) == SLOTS:
            break
        replacement = exchange.replacement(value)
        if replacement is not None:
            chosen[attributes.slots[value]] = attributes.values[replacement]
    if not chosen:
        return None
    marked = SENTENCES.format(
        **{slot: f"[{word}]" if slot in chosen else word for slot, word in words.items()}
    )
    in_order = sorted(chosen, key=lambda slot: SENTENCES.index(f"{{{slot}}}"))
    return Answer(marked=marked, replacements=tuple(chosen[slot] for slot in in_order))
