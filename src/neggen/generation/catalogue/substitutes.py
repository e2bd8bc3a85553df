"""Which value can stand in the place of which, so that the sentence stays a sentence."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neggen.generation.catalogue.alternatives import GROUP_OF
from neggen.generation.catalogue.attributes import Attributes
from neggen.generation.catalogue.grammar import is_plural
from neggen.generation.catalogue.prose import PHRASE, Run

LEAST_ITEMS = 4
"""Items that a value needs, to replace others: the behavior of fewer is chance."""
LEAST_FRAMES = 4
"""Different frames that two phrases were both seen in; one sentence alone gives three."""
LEAST_AFFINITY = 0.08
"""Of the frames of two phrases; two that have nothing to do with each other have about 0.01."""
LESS_SIMILAR = 0.4
"""Phrases under this share of the best affinity of a phrase are of another kind."""
NEAREST = 30
"""How many of the phrases with the most similar frames may stand in a phrase's place."""
MOST_SHARED = 0.1
"""Phrases that share this share of their items go together; they are no alternatives."""

_ENDINGS = ("ing", "ed", "ly", "ous", "ful", "ic", "al", "'s", "s'", "ss")


def substitutes(
    attributes: Attributes, per_item: Iterable[list[Run]], common: frozenset[str]
) -> list[NDArray[np.int64]]:
    """Return, for each value, the values that could take its place, ``[values][candidates]``.

    Values of a column, a kind or a picture that recur take the place of any other of the same slot.
    A phrase takes that of another which belongs to the same group of ``alternatives``, or which was
    seen in the same frames far more often than by chance, and has the same number, the same ending,
    no word in common, and few items.

    Args:
        attributes: the values.
        per_item: the runs of each passage, ``[items]``; it is gone through once at most.
        common: the phrases that were ever written in lower case; all others are names, and a name
            does not take the place of a word.
    """
    slots = np.array(attributes.slots)
    recurs = np.asarray(attributes.membership.sum(axis=0)).ravel() >= LEAST_ITEMS
    of_slot = {slot: np.flatnonzero((slots == slot) & recurs) for slot in set(attributes.slots)}
    candidates = [of_slot[slot] for slot in attributes.slots]
    positions = np.flatnonzero(slots == PHRASE)
    if not len(positions):
        return candidates
    texts = [attributes.values[position] for position in positions]
    groups, meanings = np.array([_group(text) for text in texts]).T
    one_class = _same([(is_plural(text), _ending(text), text in common) for text in texts])
    affinity = _frame_affinity(texts, per_item)  # [phrases, phrases]
    affinity[~one_class | (groups >= 0)[:, None] | _together(attributes, positions)] = 0.0
    for row, text in enumerate(texts):
        if groups[row] >= 0:
            fitting = np.flatnonzero((groups == groups[row]) & (meanings != meanings[row]))
        else:
            enough = max(LEAST_AFFINITY, LESS_SIMILAR * float(affinity[row].max()))
            nearest = np.argsort(-affinity[row], kind="stable")[:NEAREST]
            fitting = nearest[affinity[row, nearest] >= enough]
        words = set(text.split())
        others = [column for column in fitting if words.isdisjoint(texts[column].split())]
        candidates[positions[row]] = positions[np.array(others, dtype=np.int64)]
    return candidates


def _together(attributes: Attributes, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which phrases go together, ``[phrases, phrases]``."""
    members = attributes.membership[:, positions]
    sizes = np.asarray(members.sum(axis=0)).ravel()
    shared = (members.T @ members).toarray() / np.minimum(sizes[:, None], sizes[None, :])
    result: NDArray[np.bool_] = shared > MOST_SHARED
    return result


def _frame_affinity(texts: list[str], per_item: Iterable[list[Run]]) -> NDArray[np.float32]:
    """Return how alike the frames of phrases are, ``[phrases, phrases]``, 0 to 1.

    The Bhattacharyya coefficient of the frames' shares, each weighted by how few phrases stand in
    the frame; 0 for fewer than ``LEAST_FRAMES`` common frames. A frame counts once an item, or a
    text that is copied from item to item would be evidence.
    """
    position = {text: row for row, text in enumerate(texts)}
    column_of: dict[str, int] = {}
    rows, columns = [], []
    for runs in per_item:
        seen = {(run.text, frame) for run in runs if run.text in position for frame in run.frames}
        for text, frame in sorted(seen):
            rows.append(position[text])
            columns.append(column_of.setdefault(frame, len(column_of)))
    shape = (len(texts), len(column_of))
    counts = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    phrases_in = np.bincount(counts.indices, minlength=shape[1])
    rarity = 1.0 - np.log(phrases_in[counts.indices]) / np.log(max(len(texts), 2))
    totals = np.repeat(np.asarray(counts.sum(axis=1)).ravel(), np.diff(counts.indptr))
    roots, present = counts.copy(), counts.copy()
    roots.data = np.sqrt(counts.data / totals * rarity).astype(np.float32)
    present.data = np.ones_like(counts.data)
    affinity: NDArray[np.float32] = (roots @ roots.T).toarray()
    affinity[(present @ present.T).toarray() < LEAST_FRAMES] = 0.0
    np.fill_diagonal(affinity, 0.0)
    return affinity


def _same(classes: list[tuple[bool, str, bool]]) -> NDArray[np.bool_]:
    """Return which phrases are of one class, ``[phrases, phrases]``."""
    number = {name: index for index, name in enumerate(sorted(set(classes)))}
    numbers = np.array([number[name] for name in classes])
    result: NDArray[np.bool_] = numbers[:, None] == numbers[None, :]
    return result


def _group(text: str) -> tuple[int, int]:
    """Return the group and meaning of a phrase all of whose words are in one group, or -1 twice."""
    if text in GROUP_OF:
        return GROUP_OF[text]
    known = [GROUP_OF.get(word, (-1, -1)) for word in text.split()]
    one_group = len({group for group, _ in known}) == 1
    return known[-1] if one_group else (-1, -1)  # "navy blue" is a blue


def _ending(text: str) -> str:
    """A rough word class: two words that end alike tend to fit the same sentence."""
    text = text.replace("’", "'")
    return next((ending for ending in _ENDINGS if text.endswith(ending)), "")
