"""The phrases in the passages of a catalogue, and the frames they stand in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from neggen.generation.catalogue.alternatives import GROUP_OF
from neggen.generation.catalogue.attributes import Found
from neggen.generation.catalogue.stopwords import STOPWORDS

PHRASE = "<phrase>"
"""The slot of all phrases, named like no column; their frames tell which can stand for which."""
LONGEST_PHRASE = 3
"""Words."""
FRAGMENT_SHARE = 0.8
"""A part that stands in one longer phrase this often is no phrase of its own."""
LEAST_COLLOCATION = 8.0
"""How much more often words stand together than by chance, for them to count as one phrase."""

_WORD = re.compile(r"[^\W_](?:[\w'’&+-]*\w)?")
_PERIOD = re.compile(r"[.!?](?!\S)")
_CONTRACTION = re.compile(
    r"n['’]t$|^(?:he|she|it|that|there|who|what|let|here)['’]s$|['’](?:re|ve|ll|d|m)$"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One to three words of a passage that could be a phrase.

    Attributes:
        text: the words, lower-cased.
        words: how many.
        start: position of the first letter in the passage.
        end: position after the last letter.
        frames: what stands around it in its sentence: two words before, two words after, and one
            on each side.
    """

    text: str
    words: int
    start: int
    end: int
    frames: tuple[str, ...]


def runs_of(passage: str) -> list[Run]:
    """Return every run of up to three words, parted by single spaces, that all say something.

    >>> [run.text for run in runs_of("The gel-ink pens, black")]
    ['gel-ink', 'gel-ink pens', 'pens', 'black']
    """
    words = [
        (match.group().lower(), match.start(), match.end()) for match in _WORD.finditer(passage)
    ]
    texts = [word for word, _, _ in words]
    gaps = [passage[words[at][2] : words[at + 1][1]] for at in range(len(words) - 1)]
    says_something = [_says_something(word) for word in texts]
    runs = []
    for first, (_, start, _) in enumerate(words):
        for last in range(first, min(first + LONGEST_PHRASE, len(words))):
            end = words[last][2]
            if not says_something[last] or (last > first and gaps[last - 1] != " "):
                break
            frames = _frames(texts, gaps, first, last)
            runs.append(
                Run(" ".join(texts[first : last + 1]), last + 1 - first, start, end, frames)
            )
    return runs


def _frames(words: list[str], gaps: list[str], first: int, last: int) -> tuple[str, ...]:
    """Return the frames of a run; a frame ends with its sentence and holds at least one word."""
    before: list[str] = []
    for at in range(first, max(first - 2, 0), -1):
        if _PERIOD.search(gaps[at - 1]):
            break
        before.insert(0, words[at - 1])
    after: list[str] = []
    for at in range(last, min(last + 2, len(gaps))):
        if _PERIOD.search(gaps[at]):
            break
        after.append(words[at + 1])
    frames = []
    if before:
        frames.append(" ".join([*["^"] * (2 - len(before)), *before, "_"]))
    if after:
        frames.append(" ".join(["_", *after, *["$"] * (2 - len(after))]))
    if before and after:
        frames.append(f"{before[-1]} _ {after[0]}")
    return tuple(frames)


def phrases(per_item: list[list[str]]) -> list[Found]:
    """Return the phrases of each passage, ``[items]``.

    Several words count as a phrase only if they stand together far more often than by chance, and
    a part of a phrase only if it often stands without the rest ("jar" of "jar candle" does not).

    Args:
        per_item: the texts of the runs of each passage, ``[items]``.
    """
    counts = Counter(text for texts in per_item for text in texts)
    total = sum(" " not in text for texts in per_item for text in texts)

    def stands_together(text: str) -> bool:
        words = text.split(" ")
        ratio = counts[text] / total
        for word in words:
            ratio *= total / counts[word]
        return len(words) == 1 or (counts[text] >= 3 and ratio >= LEAST_COLLOCATION)

    together = {text for text in counts if stands_together(text)}
    fragments = {
        part
        for text in together
        for part in _parts(text)
        if counts[text] >= FRAGMENT_SHARE * counts[part]
    }
    kept = (together - fragments) | GROUP_OF.keys()
    return [[(PHRASE, text) for text in dict.fromkeys(texts) if text in kept] for texts in per_item]


def _parts(text: str) -> Iterator[str]:
    """Yield the shorter runs of a run of words."""
    words = text.split(" ")
    for first in range(len(words)):
        for last in range(first + 1, len(words) + 1):
            if last - first < len(words):
                yield " ".join(words[first:last])


def _says_something(word: str) -> bool:
    if word in STOPWORDS or _CONTRACTION.search(word):
        return False
    return len(word) >= 3 and word[0].isalpha()
