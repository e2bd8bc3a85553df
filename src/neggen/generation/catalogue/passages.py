"""The passage of an item's own text that becomes its description."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

import polars as pl

from neggen.generation.catalogue.grammar import calm
from neggen.generation.catalogue.stopwords import STOPWORDS
from neggen.generation.parsing import CONTROL
from neggen.generation.records import InvalidAnswer
from neggen.generation.screening import screen_prose

LONGEST_PASSAGE = 600
"""Characters of a passage."""
PASSAGE_WORDS = 45

_MARKUP = re.compile(r"<[^<>]{1,200}>|\{[^{}]*\}")  # tags, and what they leave of style sheets
_SELECTORS = re.compile(
    r"(?:(?<!\S)(?:[a-z]{0,5}[.#][A-Za-z][\w-]*|ul|ol|li|hr|td|tr)(?!\S)\s*){2,}"
)
_TRADEMARK = re.compile(r"[®™©]|\((?:TM|R)\)")
_BRACKETED_NUMBER = re.compile(
    r"\s*\((?!(?:18|19|20)\d\d\))(?=[^()\s]*\d)[A-Z0-9#][A-Z0-9#/.-]{3,}\)"
)
_ITEM_NUMBER = re.compile(
    r"(?<!\S)(?!\d[\d.]*(?:X\d[\d.]*)*[A-Z]{0,3}[,;:).]*(?:\s|$))"  # 500GB and 8.5X11: measures
    r"(?=[^\s,]*[A-Z#])(?=(?:[^\s,]*\d){3})[A-Z0-9#]+(?:[-/][A-Z0-9#]+)*(?=[\s,.;:)]|$),?|"
    r"(?<!\S)\d{5,}(?=[\s,]|$)"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])")


def passages(table: pl.DataFrame, prose: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the title-like column and the opening of the longest one, as sentences.

    Args:
        table: the items.
        prose: the columns of free text, the shortest first.

    Returns:
        ``[items]``, each the title and the whole passage, which begins with it; "" if there is
        none. Sentences that no record may hold are left out.
    """
    names = (prose[0], prose[-1]) if len(prose) > 1 else prose
    columns = [table[name].to_list() for name in names]
    return [_passage(texts) for texts in zip(*columns, strict=True)] or [("", "")] * len(table)


def _passage(texts: Iterable[object]) -> tuple[str, str]:
    parts: list[str] = []
    for text in texts:
        room = PASSAGE_WORDS - sum(len(part.split()) for part in parts)
        opening = _opening(plain("" if text is None else str(text)), room)
        if opening and opening[-1] not in ".!?":
            opening += "."
        parts.append(opening)
    return parts[0], " ".join(filter(None, parts))[:LONGEST_PASSAGE].strip()


def plain(text: str) -> str:
    """Return a text without markup, item numbers and shouting, in round brackets, on one line.

    >>> plain("<b>HP</b> 60XL CC641WN#140 Ink &amp; CARTRIDGE [black] (80794)")
    'HP 60XL Ink & Cartridge (black)'
    """
    text = html.unescape(html.unescape(text))  # "&amp;quot;" occurs
    text = _MARKUP.sub(" ", " ".join(text.split()))
    text = CONTROL.sub(" ", text.replace("[", "(").replace("]", ")"))
    text = _SELECTORS.sub(" ", _TRADEMARK.sub("", text))
    text = _ITEM_NUMBER.sub("", _BRACKETED_NUMBER.sub("", text))
    text = re.sub(r"(?<=[a-z][.!?])(?=[A-Z][a-z])", " ", text)  # sentences without a space
    text = re.sub(r"\(\s*\)", "", text)
    text = re.sub(r"\s+(?=[,.;:!?)](?:\s|$))", "", text)
    return calm(" ".join(text.split()).strip(" ,;:-"))


def _opening(text: str, most_words: int) -> str:
    """Return whole sentences up to ``most_words``; of a longer first sentence, its beginning."""
    kept: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        words = sentence.split()
        if not _may_be_said(sentence):
            continue
        if len(kept) + len(words) > most_words:
            return " ".join(kept or _cut(words[:most_words])).rstrip(",;:- ")
        kept += words
    return " ".join(kept)


def _may_be_said(sentence: str) -> bool:
    try:
        screen_prose(sentence, "A sentence")
    except InvalidAnswer:
        return False
    return True


def _cut(words: list[str]) -> list[str]:
    """Shorten the beginning of a sentence to its last clause, or at least to a telling word."""
    for end in range(len(words), len(words) // 2, -1):
        if words[end - 1].endswith((",", ";", ":")):
            return words[:end]
    while words and words[-1].lower() in STOPWORDS:
        words = words[:-1]
    return words
