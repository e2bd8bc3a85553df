"""Whether the texts of an answer mean something: prose about an item, and values that contrast.

Form (slots, brackets, counts) is checked in ``parsing``; here are the answers that have the right
form and are still no answer: refusals, chatter, markup, stock phrases, a value said again.
"""

from __future__ import annotations

import re
from functools import cache

from neggen.generation.characters import says_something, short
from neggen.generation.json_objects import objects_in
from neggen.generation.likeness import contains, negates, same, words
from neggen.generation.prompts import load_prompts
from neggen.generation.records import InvalidAnswer
from neggen.generation.refusals import is_refusal, sentences_of

_CHATTER = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|alright|got it|understood)"
    r"(?:!|[,.:]? (?:here(?:'s| is| are)|i(?:'ll| will| can)|let me)\b)"
    r"|here(?:'s| is| are) (?:the|a|an|my|your|one)(?: \w+){0,3}"
    r" (?:descriptions?|answer|json|output|caption|response|replacements?|rewrite|version)\b"
    r"|(?:(?:the|my|final|masked|marked) )*"
    r"(?:description|answer|output|caption|marked|replacements?|negative|response|json)"
    r"(?: is)?: "
    r"|(?:let me know if|i hope (?:this|that|it) helps|hope this helps|feel free to"
    r"|would you like me to|do you want me to|please (?:provide|let me know|share|upload)) ",
    re.IGNORECASE,
)
_ENUMERATED = re.compile(r"\d{1,2}[.)] |[-•*–—] |.*(?:->|=>|→)")
_MARKUP = re.compile(
    r"<[/!]?[a-z]|&(?:lt|gt|nbsp|#0*6[02]|#x0*3[ce]);|\*\*|```|`[^`]+`|~~|^#{1,6} "
    r"|(?<![\w*])\*[^\s*][^*]*\*(?![\w*])|(?<!\w)__(?=[^\W_])",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"[{}]|___|(?<![\w$])\$(?:text|answer|reason|name|value)\b|\(mask(?:ed)?\)"
    r"|\b(?:lorem ipsum|insert [\w ]{1,30} here)\b",
)
_WEB_ADDRESS = re.compile(r"https?:/|\bwww\.\w|\b[\w.+-]{1,64}@[\w-]{1,64}\.\w", re.IGNORECASE)

_STOCK = frozenset(
    words(phrase)
    for phrase in re.split(
        " *; *",
        "other; others; another; another one; something; something else; something different; "
        "something other; anything else; none; nothing; none of the above; n/a; na; nil; null; "
        "nan; not applicable; not available; not specified; not given; not known; not sure; "
        "unknown; unspecified; undefined; unavailable; various; varies; miscellaneous; misc; etc; "
        "tbd; tba; todo; placeholder; replacement value; contrasting; "
        "contrasting value; contrasting attribute; different; opposite; contrary; no; not; value; "
        "attribute; key attribute; option; example; same; unchanged; no change; no replacement; "
        "xxx; sth; believable item",
    )
)
_STOCK_HEAD = re.compile(
    r"(?:(?:an?|the) )*(?:opposite|contrary|inverse|antonym|reverse) of (?P<whatever>.*)"
    r"|(?:(?:an?|the|some|any|its|their|completely|totally|entirely|very) )*"
    r"(?:different|other|another|alternative|alternate|opposite|contrasting|unrelated|random)"
    r"(?: (?:from|to|than))?(?: |$)(?P<rest>.*)",
    re.IGNORECASE,
)
_NAMES_NOTHING = frozenset(
    words(
        "attribute category character choice class color colour design feature genre item kind "
        "material model mood object of one option people person place pattern plot product "
        "property quality setting shape size sort style subject theme thing tone type use value "
        "variety version way"
    )
)


def screen_prose(text: str, what: str) -> None:
    """Refuse a text that is no natural description or part of one.

    Args:
        text: on one line, without slot brackets.
        what: what it is, to begin the reason with, such as ``The description``.

    Raises:
        InvalidAnswer: For a refusal, chatter, markup, a placeholder or a web address.
    """
    straight = re.sub("[‘’ʼ´`＇](?=[a-zA-Z])", "'", text)
    if is_refusal(straight):
        raise InvalidAnswer(
            "refusal",
            f"{what} is a refusal: {short(text)!r}; write what the item is, no excuse.",
        )
    if any(_CHATTER.match(sentence) for sentence in sentences_of(straight)):
        raise InvalidAnswer(
            "chatter",
            f"{what} talks to the reader: {short(text)!r}; write the text itself and nothing else.",
        )
    for kind, pattern, remedy in (
        ("markup", _MARKUP, "write plain text without HTML or Markdown"),
        ("placeholder", _PLACEHOLDER, "write out what it stands for, without braces"),
        ("web address", _WEB_ADDRESS, "leave addresses out"),
    ):
        if found := pattern.search(text):
            around = text[max(found.start() - 20, 0) : found.end() + 20]
            raise InvalidAnswer(kind, f"{what} holds a {kind}: {around!r}; {remedy}.")


def screen_replacement(value: str, replacement: str) -> None:
    """Refuse a replacement that is no other value.

    Raises:
        InvalidAnswer: If it says nothing, is the value again, its negation, narrower or wider than
            it, or a stock phrase.
    """
    pair = f"The replacement {short(replacement)!r} of {short(value)!r}"
    if not says_something(replacement):
        raise InvalidAnswer("empty replacement", f"{pair} is empty; write another value.")
    if replacement.casefold() == value.casefold() or same(value, replacement):
        raise InvalidAnswer(
            "unchanged replacement", f"{pair} is the same value; write one that contrasts."
        )
    if negates(value, replacement):
        raise InvalidAnswer(
            "negated value", f"{pair} is only its negation; name what there is in its place."
        )
    if _is_stock(value, replacement):
        raise InvalidAnswer(
            "stock replacement", f"{pair} says nothing; name a particular contrasting value."
        )
    if contains(value, replacement):
        raise InvalidAnswer(
            "contained value", f"{pair} means nearly the same; write a value that excludes it."
        )
    if _ENUMERATED.match(replacement):
        raise InvalidAnswer(
            "chatter", f"{pair} is numbered or explained; write the new value and nothing else."
        )


def screen_together(values: tuple[str, ...], replacements: tuple[str, ...]) -> None:
    """Refuse one replacement for different values; a value that stands twice may keep its own.

    Raises:
        InvalidAnswer: If two slots with different values have the same replacement.
    """
    taken: dict[tuple[str, ...], str] = {}
    for value, replacement in zip(values, replacements, strict=True):
        other = taken.setdefault(words(replacement), value)
        if not same(value, other):
            raise InvalidAnswer(
                "repeated replacement",
                f"{short(replacement)!r} replaces both {short(other)!r} and {short(value)!r}; "
                "give each attribute its own replacement.",
            )


def screen_copied(description: str, replacements: tuple[str, ...]) -> None:
    """Refuse the example of the prompts, given back as an answer.

    Raises:
        InvalidAnswer: If the description is the example's, or every replacement is.
    """
    descriptions, examples = _prompt_examples()
    if words(description) in descriptions or all(
        words(replacement) in examples for replacement in replacements
    ):
        raise InvalidAnswer(
            "copied example", "The answer is the example of the instructions; write about the item."
        )


def _is_stock(value: str, replacement: str) -> bool:
    if replacement == "MASK" or words(replacement) in _STOCK:
        return True
    match = _STOCK_HEAD.fullmatch(replacement)
    if match is None:
        return False
    if match["whatever"]:
        return True
    return set(words(match["rest"])) <= _NAMES_NOTHING.union(words(value))


@cache
def _prompt_examples() -> tuple[frozenset[tuple[str, ...]], frozenset[tuple[str, ...]]]:
    """Return the words of all descriptions and of all replacements in the prompts' examples."""
    examples = [
        example
        for template in load_prompts().templates.values()
        for example in objects_in(template)[0]
    ]
    return (
        frozenset(words(example["marked"]) for example in examples if "marked" in example),
        frozenset(
            words(replacement)
            for example in examples
            for replacement in example.get("replacements", ())
        ),
    )
