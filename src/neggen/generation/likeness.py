"""Whether a replacement says the same as the value it replaces, as far as the words alone tell.

Every test here works on words without case, accents, articles, punctuation and endings. Synonyms
that share no word need a model: see ``neggen.encoding.synonyms``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

_NO_STEMS = ("not", "non")  # of "notes" and "none"
_VOWEL = re.compile("[aeiouy]")


def _stem(word: str) -> str:
    """Take off the ending of a plural or participle where a word of three letters remains."""
    if not word.isascii() or not word.isalpha() or len(word) < 4:
        return word
    for ending in ("ies", "ie"):
        if word.endswith(ending) and len(word) > 4:
            return word.removesuffix(ending) + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed", "e"):
        bare = word.removesuffix(ending)
        if bare != word and len(bare) >= 3 and bare not in _NO_STEMS and _VOWEL.search(bare):
            doubled = ending != "e" and bare[-1] == bare[-2] and bare[-1] not in "lsz"
            return bare[:-1] if doubled else bare
    return word


def _stems(text: str) -> frozenset[str]:
    return frozenset(map(_stem, text.split()))


_ARTICLES = frozenset(("a", "an", "the", "and", "or"))
# Words that say how two things stand to each other: order matters around them.
_RELATIONS = _stems(
    "about above after against among around as at before behind below beside between by during for "
    "from in inside into like near of off on onto out over past per than through to toward towards "
    "under until up versus via vs with within"
)
_NEGATORS = _stems("cannot free lack neither never no non none nor not without")
_NEGATING_PREFIX = re.compile(r"(?:un|non|in|im|ir|il|dis)(?=\w{4})")
_AUXILIARIES = _stems("any all at be been is are was were has have do does did")
_DEGREES = _stems("extremely fairly pretty quite rather really slightly so somewhat truly very")
_GENERIC = _stems(
    "color colored colour coloured edition film hue item kind look material model movie one piece "
    "product shade style thing tint tone type variant variety version"
)
_KEPT_SYMBOLS = "+#%$€£¥@*=°"


@lru_cache(4096)
def words(phrase: str) -> tuple[str, ...]:
    """Return the words of ``phrase`` for comparison, in order, without articles.

    >>> words("The Résumés' dotted-lines, and 3.5 mm")
    ('resume', 'dot', 'line', '3.5', 'mm')
    """
    folded = unicodedata.normalize("NFKD", phrase).casefold()
    folded = re.sub("[\u0300-\u036f\u200c\u200d\ufe0e\ufe0f]", "", folded)
    folded = re.sub(r"n['’‘ʼ]t\b", " not", folded)
    folded = re.sub(r"['’‘ʼ]s?\b", "", folded)
    folded = re.sub(r"(?<=\d)[.,](?=\d)", "\0", folded)  # one number stays one word
    kept = "".join(
        character
        if character == "\0" or character.isalnum() or unicodedata.category(character)[0] == "M"
        else f" {character} "
        if character in _KEPT_SYMBOLS
        else " "
        for character in folded
    )
    return tuple(_stem(word.replace("\0", ".")) for word in kept.split() if word not in _ARTICLES)


def same(value: str, replacement: str) -> bool:
    """Return whether both have the same words, in any order unless a preposition ties them."""
    mine, other = (
        tuple("not" if word in _NEGATORS else word for word in words(phrase))
        for phrase in (value, replacement)
    )
    if not mine or not other or mine == other:
        return mine == other
    return sorted(mine) == sorted(other) and _RELATIONS.isdisjoint(mine)


def negates(value: str, replacement: str) -> bool:
    """Return whether one of the two is the other with a negation: "not red", "without a lid"."""
    mine, other = words(value), words(replacement)
    return _negation_of(mine, other) or _negation_of(other, mine)


def contains(value: str, replacement: str) -> bool:
    """Return whether one only narrows the other down: "red" and "bright red", or "red one"."""
    mine, other = words(value), words(replacement)
    return _narrows(mine, other) or _narrows(other, mine)


def _negation_of(plain: Sequence[str], negated: Sequence[str]) -> bool:
    if not _NEGATORS.isdisjoint(plain):
        return False
    known = set(plain)
    content = []
    found = False
    for word in negated:
        bare = _NEGATING_PREFIX.sub("", word, count=1)
        if word in _NEGATORS:
            found = True
        elif word not in known and bare in known:
            found = True
            content.append(bare)
        elif word not in _RELATIONS and word not in _AUXILIARIES:
            content.append(word)
    return found and bool(content) and known.issuperset(content)


def _narrows(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    if not wide or len(narrow) <= len(wide):
        return False
    if narrow[-len(wide) :] == wide:
        return _RELATIONS.isdisjoint(narrow[: -len(wide)])
    more = Counter(narrow) - Counter(wide)
    return (
        not Counter(wide) - Counter(narrow)
        and bool(more)
        and all(word in _GENERIC or word in _DEGREES for word in more)
    )
