"""Which phrase can stand in the place of which: phrases that keep the same company."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neggen.generation.catalogue.attributes import Attributes
from neggen.generation.catalogue.prose import PHRASE, Run

NEAREST = 30
"""How many of the phrases with the most similar neighbors may stand in a phrase's place."""
LEAST_SIMILAR = 0.4
"""Less similar phrases, in shares of the most similar one, are of another kind."""
MOST_SHARED = 0.1
"""Phrases that share this share of their items go together; they are no alternatives."""

_ENDINGS = ("ing", "ed", "ly", "ous", "ful", "ic", "al", "'s", "s'", "ss", "s")
_PLURALS_WITHOUT_S = frozenset({"children", "feet", "men", "people", "police", "teeth", "women"})


def substitutes(attributes: Attributes, per_item: list[list[Run]]) -> list[NDArray[np.int64]]:
    """Return, for each value, the values that could take its place, ``[values][candidates]``.

    Values of a column or a picture take the place of any other of the same slot. A phrase takes
    that of another that has the same ending, shares no word and few items with it, stands between
    similar words, and was seen in the very same frame at least once: after the same two words, or
    between the same two.
    """
    slots = np.array(attributes.slots)
    candidates = [np.flatnonzero(slots == slot) for slot in attributes.slots]
    phrase_positions = np.flatnonzero(slots == PHRASE)
    if not len(phrase_positions):
        return candidates
    texts = [attributes.values[position] for position in phrase_positions]
    similar = _context_similarity(texts, per_item)  # [phrases, phrases]
    framed = _in_one_frame(texts, per_item)  # [phrases, phrases]
    members = attributes.membership[:, phrase_positions]
    sizes = np.asarray(members.sum(axis=0)).ravel()
    shared = (members.T @ members).toarray() / np.minimum(sizes[:, None], sizes[None, :])
    endings = np.array([_ending(text) for text in texts])
    np.fill_diagonal(similar, -1.0)
    similar[(shared > MOST_SHARED) | (endings[:, None] != endings[None, :]) | ~framed] = -1.0
    for row, text in enumerate(texts):
        words = set(text.split())
        enough = LEAST_SIMILAR * max(float(similar[row].max()), 0.0)
        nearest = np.argsort(-similar[row], kind="stable")[:NEAREST]
        fitting = [
            column
            for column in nearest
            if similar[row, column] > enough and words.isdisjoint(texts[column].split())
        ]
        candidates[phrase_positions[row]] = phrase_positions[np.array(fitting, dtype=np.int64)]
    return candidates


def _in_one_frame(texts: list[str], per_item: list[list[Run]]) -> NDArray[np.bool_]:
    """Return which phrases share a frame, ``[phrases, phrases]``.

    Words that merely stand in the same stock sentence everywhere ("without fuss") share none with
    the words that vary ("made of glass", "made of wood").
    """
    counts = _counts(texts, per_item, lambda run: (run.lead, f"{run.before} … {run.after}"))
    together: NDArray[np.bool_] = (counts @ counts.T).toarray() > 0
    return together


def _context_similarity(texts: list[str], per_item: list[list[Run]]) -> NDArray[np.float32]:
    """Return the cosine of PPMI-weighted neighbor words, ``[phrases, phrases]``."""
    counts = _counts(texts, per_item, lambda run: (f"<{run.before}", f">{run.after}"))
    per_phrase = np.asarray(counts.sum(axis=1)).ravel()
    per_neighbor = np.asarray(counts.sum(axis=0)).ravel()
    entries = counts.tocoo()
    chance = per_phrase[entries.row] * per_neighbor[entries.col] / max(int(counts.sum()), 1)
    weights = np.maximum(np.log(entries.data / chance), 0.0)
    weighted = csr_matrix((weights, (entries.row, entries.col)), shape=counts.shape)
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1))).ravel()
    similar = (weighted @ weighted.T).toarray()
    result: NDArray[np.float32] = similar / np.maximum(np.outer(norms, norms), 1e-9)
    return result


def _counts(
    texts: list[str], per_item: list[list[Run]], keys_of: Callable[[Run], tuple[str, ...]]
) -> csr_matrix:
    """Count the keys of every occurrence of every phrase, CSR ``[phrases, keys]``."""
    position = {text: row for row, text in enumerate(texts)}
    columns_of: dict[str, int] = {}
    rows, columns = [], []
    for runs in per_item:
        for run in runs:
            row = position.get(run.text)
            if row is not None:
                for key in keys_of(run):
                    rows.append(row)
                    columns.append(columns_of.setdefault(key, len(columns_of)))
    ones = np.ones(len(rows), dtype=np.float32)
    return csr_matrix((ones, (rows, columns)), shape=(len(texts), len(columns_of)))


def _ending(text: str) -> str:
    """A rough word class: two words that end alike tend to fit the same sentence."""
    text = text.replace("’", "'")
    if text[-1].isdigit():
        return "digit"
    if text.rpartition(" ")[2] in _PLURALS_WITHOUT_S:
        return "s"
    return next((ending for ending in _ENDINGS if text.endswith(ending)), "")
