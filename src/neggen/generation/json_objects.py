"""The JSON objects in the raw text of an answer, whatever a server or a model wrapped around them.

Strict about JSON itself (no key twice, no NaN, no trailing comma), because what is read in two ways
is read wrongly by one of them; lenient only about line breaks inside strings.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

MOST_PLACES = 50
"""Braces at which an object is tried to be read; bounds the work on a hostile text."""
DEEPEST_WRAPPER = 2
"""How many lists, single fields or strings may stand around the answer."""


def objects_in(text: str) -> tuple[list[dict[str, Any]], str]:
    """Return the objects in ``text`` in order, each followed by those wrapped in it.

    Prose and code fences between objects are skipped. An object may be wrapped in a list, in a
    field such as ``{"answer": {...}}``, or be a string of JSON.

    Returns:
        The objects, and why the last place that looked like one could not be read ("" if all
        could).
    """
    whole = text.strip().lstrip("\ufeff")
    if whole.startswith(('"', "[")):
        try:
            return list(_unwrapped(_decoder.decode(whole), DEEPEST_WRAPPER)), ""
        except (ValueError, RecursionError):
            pass  # not JSON as a whole, so there may be an object further on
    objects: list[dict[str, Any]] = []
    problem = ""
    place = text.find("{")
    for _ in range(MOST_PLACES):
        if place < 0:
            break
        try:
            value, end = _decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            problem, end = f"{error.msg} at character {error.pos + 1}", place + 1
        except RecursionError:
            problem, end = "nested too deeply", place + 1
        except ValueError as error:
            problem, end = str(error), place + 1
        else:
            objects += _unwrapped(value, DEEPEST_WRAPPER)
        place = text.find("{", end)
    return objects, problem


def _unwrapped(value: object, depth: int) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if depth == 0:
        return
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            yield from _unwrapped(_decoder.decode(value.strip()), depth - 1)
        except (ValueError, RecursionError):
            return
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _unwrapped(part, depth - 1)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {key[:40]!r} stands twice")
    return fields


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(
    strict=False, object_pairs_hook=_no_key_twice, parse_constant=_no_constant
)
