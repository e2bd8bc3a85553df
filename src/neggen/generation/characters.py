"""Which characters a record may hold: what a reader sees, and nothing that hides or imitates."""

from __future__ import annotations

import re
import unicodedata

from neggen.generation.records import InvalidAnswer

# Joiners (U+200C, U+200D) and the emoji selectors (U+FE0E, U+FE0F) stay possible, a few at a time:
# Persian, Hindi and emoji are spelled with them. A longer run, tags and the other selectors only
# hide data. Brackets that look like square ones would make slots that are none.
CONTROL = re.compile(
    r"<\||\|>"  # chat-template tokens such as <|im_end|>
    r"|[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufff9-\uffff]"
    r"|[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e]"
    r"|[\u2028\u2029\u2060-\u206f\u2800\u3164\ufe00-\ufe0d\ufeff\uffa0\U000e0000-\U000e0fff]"
    r"|[\ue000-\uf8ff\U000f0000-\U0010ffff]"  # private use
    r"|[\u200c\u200d\ufe0e\ufe0f]{3}"
    r"|[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4}"
    r"|[\u2045\u2046\u2308-\u230b\u2772\u2773\u27e6\u27e7\u298b-\u2990\u301a\u301b\ufe47\ufe48"
    r"\uff3b\uff3d]"  # look-alike brackets
)
"""What no record may hold: it would travel on unseen into prompts, pages and files."""


def clean(text: str, longest: int) -> str:
    """Return ``text`` on one line, in NFC.

    Args:
        text: as it came.
        longest: characters; more than four times as many, white space included, are not looked at.

    Raises:
        InvalidAnswer: If it is far too long or holds ``CONTROL`` characters.
    """
    if len(text) > 4 * longest:  # before NFC, which is slow on long runs of accents
        raise InvalidAnswer(
            "too long", f"A text has {len(text)} characters; stay under {longest}: {short(text)!r}."
        )
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if found := CONTROL.search(text):
        names = " ".join(f"U+{ord(character):04X}" for character in found.group()[:4])
        raise InvalidAnswer(
            "control characters",
            f"The answer holds {names}; leave out control and invisible characters, chat tokens, "
            "piled-up accents and brackets that only look like square ones.",
        )
    return text


def says_something(text: str) -> bool:
    """Return whether there is any letter, digit or pictogram in ``text``."""
    return any(character.isalnum() or unicodedata.category(character) == "So" for character in text)


def short(text: str) -> str:
    """Return ``text``, or its beginning if it is too long to quote."""
    return text if len(text) <= 80 else f"{text[:77]}..."
