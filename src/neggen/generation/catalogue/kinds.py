"""What kind of thing an item is: the head noun of its title."""

from __future__ import annotations

import re
from collections import Counter

from neggen.generation.catalogue.alternatives import GROUP_OF
from neggen.generation.catalogue.attributes import Found
from neggen.generation.catalogue.grammar import is_plural, singular
from neggen.generation.catalogue.stopwords import STOPWORDS

KIND = "<kind>"
"""The slot of kinds, named like no column."""
LEAST_ITEMS = 4
"""Titles that must end alike for the ending to name a kind."""
LEAST_SHARE = 0.35
"""Share of the titles that must name a kind; fewer are names, as of films and books."""
USUAL_SHARE = 0.3
"""Share of the titles of a kind that write it in a number, for it to be usual in that number."""
LONGEST_KIND = 3
"""Words."""

_END = re.compile(r"[,;:(|]|[.!?](?:\s|$)|\s[-–—/&+]|[-–—/&+]\s")
_WORD = re.compile(r"[a-z][a-z'’-]*[a-z]{2}")
_AFTER_HEAD = re.compile(r"with|without|for|in|by|of|from|to|and|or|on|at|as|that|which|w/")
_ADJECTIVE = re.compile(r"(?:[ai]ble|ous|ful|ive|ant|ed|proof|less)$")
_COUNTS = re.compile(
    r"(?:pack|packaging|count|size|style|piece|color|unit|replacement|model)s?|inch(?:es)?|each|pair"
    r"|edition|version|series|assorted|feet|foot|value|plus|pro|home|combo"
)


def kinds(titles: list[str], plain_words: frozenset[str]) -> tuple[list[Found], frozenset[str]]:
    """Read the kinds off the titles of a catalogue.

    The head of "Avery Heavy-Duty View Binder with 1-Inch Rings, Blue" is "view binder", if other
    titles have that ending too, or else "binder".

    Args:
        titles: without the brand they begin with, ``[items]``.
        plain_words: words that the catalogue also writes in lower case; others are names, which may
            follow a kind ("Photo Printer Pixma").

    Returns:
        The kind of each item in the singular, ``[items]``, nothing where the title names none; and
        the kinds in the singular or plural in which they are usual.
    """
    heads = [_head(title) for title in titles]
    ends = [_endings(head) for head in heads]
    counts = Counter(singular(ending) for endings in ends for ending in endings)
    recurring = {kind for kind, count in counts.items() if count >= LEAST_ITEMS}
    written: Counter[str] = Counter()
    found: list[Found] = []
    for head in heads:
        kind = _kind(head, recurring, plain_words)
        written.update(filter(None, [kind]))
        found.append([(KIND, singular(kind))] if kind else [])
    recur = sum(bool(kind) and kind[0][1] in recurring for kind in found)
    if recur < LEAST_SHARE * sum(map(bool, titles)):
        return [[] for _ in titles], frozenset()
    in_all: Counter[str] = Counter()
    for form, count in written.items():
        in_all[singular(form)] += count
    return found, frozenset(
        form for form, count in written.items() if count >= USUAL_SHARE * in_all[singular(form)]
    )


def _kind(head: list[str], recurring: set[str], plain_words: frozenset[str]) -> str | None:
    """Return the longest recurring ending of a head, or its last word, leaving out names."""
    for end in range(len(head), 0, -1):
        known = [ending for ending in _endings(head[:end]) if singular(ending) in recurring]
        if known:
            return known[-1]
        last = head[end - 1]
        if last in plain_words:
            return last if _could_name(last) and not _ADJECTIVE.search(last) else None
    return None


def _endings(head: list[str]) -> list[str]:
    """Return the last one, two and three words of a head that could name a kind."""
    end = len(head)
    while end and (not _could_name(head[end - 1]) or head[end - 1] in GROUP_OF):
        end -= 1
    endings: list[str] = []
    for word in reversed(head[max(end - LONGEST_KIND, 0) : end]):
        if not _could_name(word) or (endings and (word in GROUP_OF or is_plural(word))):
            break
        endings.append(f"{word} {endings[-1]}" if endings else word)
    return endings


def _could_name(word: str) -> bool:
    return bool(_WORD.fullmatch(word)) and word not in STOPWORDS and not _COUNTS.fullmatch(word)


def _head(title: str) -> list[str]:
    """Return the words, lower-cased, up to the first break after two of them."""
    for part in _END.split(title):
        words = part.lower().split()
        ends = [at for at, word in enumerate(words) if at and _AFTER_HEAD.fullmatch(word)]
        if len(words) >= 2:
            return words[: ends[0]] if ends else words
    return title.lower().rstrip(".").split()
