"""Just enough English to put one word in the place of another: number, articles, capitals."""

from __future__ import annotations

import re

_IRREGULAR = {
    "child": "children", "foot": "feet", "goose": "geese", "half": "halves", "knife": "knives",
    "leaf": "leaves", "life": "lives", "loaf": "loaves", "man": "men", "mouse": "mice",
    "person": "people", "scarf": "scarves", "shelf": "shelves", "thief": "thieves",
    "tooth": "teeth", "wife": "wives", "wolf": "wolves", "woman": "women",
}  # fmt: skip
_SINGULAR = {plural: singular for singular, plural in _IRREGULAR.items()}
_NO_PLURAL = re.compile(
    r"(?:ss|us|is)$|^(?:always|bus|canvas|gas|lens|news|perhaps|series|species|plus)$"
)
_SOUNDS_LIKE_A_CONSONANT = re.compile(r"(?:uni(?!n|m)|use|usu|eu|one\b|once\b)", re.IGNORECASE)
_LETTERS_SAID_WITH_A_VOWEL = "AEFHILMNORSX"


def is_plural(phrase: str) -> bool:
    """Return whether the last word of a phrase looks like a plural.

    >>> [is_plural(word) for word in ("Ink Pens", "mice", "glass", "canvas", "pen")]
    [True, True, False, False, False]
    """
    word = phrase.lower().rpartition(" ")[2]
    return word in _SINGULAR or (
        len(word) > 3 and word.endswith("s") and not _NO_PLURAL.search(word)
    )


def singular(phrase: str) -> str:
    """Return a lower-case phrase with its last word in the singular.

    >>> [singular(word) for word in ("ink pens", "boxes", "batteries", "shelves", "glass")]
    ['ink pen', 'box', 'battery', 'shelf', 'glass']
    """
    lead, space, word = phrase.rpartition(" ")
    if not is_plural(word):
        return phrase
    if word in _SINGULAR:
        bare = _SINGULAR[word]
    elif word.endswith("ies") and len(word) > 4:
        bare = word[:-3] + "y"
    elif word.endswith(("ches", "shes", "sses", "xes")):
        bare = word[:-2]
    else:
        bare = word[:-1]
    return lead + space + bare


def plural(phrase: str) -> str:
    """Return a lower-case singular phrase with its last word in the plural.

    >>> [plural(word) for word in ("ink pen", "box", "battery", "shelf", "tray")]
    ['ink pens', 'boxes', 'batteries', 'shelves', 'trays']
    """
    lead, space, word = phrase.rpartition(" ")
    if word in _IRREGULAR:
        many = _IRREGULAR[word]
    elif re.search(r"[^aeiou]y$", word):
        many = word[:-1] + "ies"
    else:
        many = word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")
    return lead + space + many


def possessive(name: str) -> str:
    """Return a name with its possessive ending.

    >>> possessive("Canon"), possessive("Texas Instruments")
    ("Canon's", "Texas Instruments'")
    """
    return name + ("'" if name.endswith("s") else "'s")


def takes_an(phrase: str) -> bool:
    """Return whether the article before a phrase is "an", by how its beginning sounds.

    >>> [takes_an(word) for word in ("eraser", "HP printer", "unique pen", "hour", "pen")]
    [True, True, False, True, False]
    """
    first = re.split(r"[\s-]", phrase, maxsplit=1)[0]
    spelled_out = first[:1] == "U" or not re.search("[AEIOU]", first[:3])
    if len(first) > 1 and first.isupper() and spelled_out:
        return first[0] in _LETTERS_SAID_WITH_A_VOWEL
    if first.lower().startswith(("hour", "honest", "heir")):
        return True
    return first[:1].lower() in "aeiou8" and not _SOUNDS_LIKE_A_CONSONANT.match(first)


def in_title_case(phrase: str) -> str:
    """Capitalize every word and leave the other letters alone."""
    return " ".join(word[:1].upper() + word[1:] for word in phrase.split(" "))


def calm(text: str) -> str:
    """Write words of five or more capitals like names; shorter ones may be abbreviations.

    >>> calm("HP BLACK Ink-JET CARTRIDGE")
    'HP Black Ink-JET Cartridge'
    """
    return re.sub(r"(?<!\w)[A-Z]{5,}(?!\w)", lambda match: match.group().capitalize(), text)
