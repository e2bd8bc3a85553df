"""The passage of an item's own text that becomes its description, and the phrases in it."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from neggen.generation.catalogue.attributes import Found
from neggen.generation.catalogue.stopwords import STOPWORDS
from neggen.generation.parsing import CONTROL

PHRASE = "phrase"
"""The slot of all phrases; which can stand for which is told by their contexts."""
LONGEST_PASSAGE = 600
"""Characters of a passage."""
PASSAGE_WORDS = 45
LONGEST_PHRASE = 3
"""Words."""
FRAGMENT_SHARE = 0.8
"""A part that stands in one longer phrase this often is no phrase of its own."""
LEAST_COLLOCATION = 8.0
"""How much more often words stand together than by chance, for them to count as one phrase."""

_MARKUP = re.compile(r"<[^<>]{1,200}>|\{[^{}]*\}")  # tags, and what they leave of style sheets
_WORD = re.compile(r"[^\W_](?:[\w'’&+-]*\w)?")
_CONTRACTION = re.compile(
    r"n['’]t$|^(?:he|she|it|that|there|who|what|let|here)['’]s$|['’](?:re|ve|ll|d|m)$"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])")


@dataclass(frozen=True)
class Run:
    """One to three words of a passage that could be a phrase.

    Attributes:
        text: the words, lower-cased.
        words: how many.
        start: position of the first letter in the passage.
        end: position after the last letter.
        before: the word before, or ``^``.
        after: the word after, or ``$``.
        lead: the two words before.
    """

    text: str
    words: int
    start: int
    end: int
    before: str
    after: str
    lead: str


def passages(table: pl.DataFrame, prose: tuple[str, ...]) -> list[str]:
    """Return the title-like column and the opening of the longest one, ``[items]``; "" if neither.

    Square brackets become round ones, because in an answer they are markup.
    """
    names = (prose[0], prose[-1]) if len(prose) > 1 else prose
    columns = [table[name].to_list() for name in names]
    return [_passage(texts) for texts in zip(*columns, strict=True)] or [""] * len(table)


def _passage(texts: Iterable[object]) -> str:
    parts: list[str] = []
    for text in texts:
        room = PASSAGE_WORDS - sum(len(part.split()) for part in parts)
        opening = _opening(_plain("" if text is None else str(text)), room)
        if opening:
            parts.append(opening if opening[-1] in ".!?" else f"{opening}.")
    return " ".join(parts)[:LONGEST_PASSAGE].strip()


def _plain(text: str) -> str:
    text = _MARKUP.sub(" ", html.unescape(text))
    text = CONTROL.sub(" ", text.replace("[", "(").replace("]", ")"))
    return " ".join(text.split())


def _opening(text: str, most_words: int) -> str:
    """Return whole sentences up to ``most_words``; of a longer first sentence, its beginning."""
    kept: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        words = sentence.split()
        if len(kept) + len(words) > most_words:
            return " ".join(kept or words[:most_words]).rstrip(",;:-")
        kept += words
    return " ".join(kept)


def runs_of(passage: str) -> list[Run]:
    """Return every run of up to three words, parted by single spaces, that all say something.

    >>> [run.text for run in runs_of("The gel-ink pens, black")]
    ['gel-ink', 'gel-ink pens', 'pens', 'black']
    """
    words = [
        (match.group().lower(), match.start(), match.end()) for match in _WORD.finditer(passage)
    ]
    says_something = [_says_something(word) for word, _, _ in words]
    runs = []
    for first, (_, start, _) in enumerate(words):
        for last in range(first, min(first + LONGEST_PHRASE, len(words))):
            end = words[last][2]
            if not says_something[last] or (
                last > first and passage[words[last - 1][2] : words[last][1]] != " "
            ):
                break
            text = " ".join(word for word, _, _ in words[first : last + 1])
            before = words[first - 1][0] if first else "^"
            after = words[last + 1][0] if last + 1 < len(words) else "$"
            lead = f"{words[first - 2][0] if first > 1 else '^'} {before}"
            runs.append(Run(text, last + 1 - first, start, end, before, after, lead))
    return runs


def phrases(per_item: list[list[Run]]) -> list[Found]:
    """Return the phrases of each passage, ``[items]``.

    Several words count as a phrase only if they stand together far more often than by chance, and
    a part of a phrase only if it often stands without the rest ("jar" of "jar candle" does not).
    """
    counts = Counter(run.text for runs in per_item for run in runs)
    total = sum(run.words == 1 for runs in per_item for run in runs)

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
    kept = together - fragments
    return [
        [(PHRASE, text) for text in dict.fromkeys(run.text for run in runs) if text in kept]
        for runs in per_item
    ]


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
    if word.isdigit():
        return len(word) == 4 and word[:2] in ("18", "19", "20")  # a year
    return len(word) >= 3 and word[0].isalpha()
