"""Settings as words of a command line, by dotted names, and laid over each other."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from neggen.errors import NegGenError


def parse_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Turn ``["alpha=0.01", "base.layers=2"]`` into ``{"alpha": 0.01, "base": {"layers": 2}}``.

    ``["sampler=dns", "sampler.candidates=8"]`` names a sampler and sets it. Values are read as
    TOML, or as JSON; what is neither is a string.

    Raises:
        NegGenError: If an entry has no ``=``, or sets a key inside what another sets to a value.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key.strip():
            raise NegGenError(f"--set {setting!r} should read key=value, such as alpha=0.01.")
        table, (*parents, leaf) = values, key.strip().split(".")
        for parent in parents:
            table[parent] = table = named(table.get(parent, {}))
            if not isinstance(table, dict):
                raise NegGenError(f"--set {setting!r} contradicts the value given for '{parent}'.")
        value = _value(text)
        if isinstance(value, str) and isinstance(said := table.get(leaf), dict):
            value = {**said, **named(value)}  # what it sets was said first
        table[leaf] = value
    return values


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        if text.lstrip()[:1] in ("{", "["):  # such as {"name": "dns"}, which TOML writes with =
            return json.loads(text)
    except ValueError:
        pass
    return text.strip()


def override(name: str, value: Any) -> str:
    """Return ``name=value`` as :func:`parse_overrides` reads it."""
    plain = isinstance(value, str) and _value(value) == value
    return f"{name}={value if plain else json.dumps(value)}"


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by dotted name, those in tables included."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def named(value: Any) -> Any:
    """Return a name as the table that it stands for, such as ``{"name": "dns"}``."""
    return {"name": value} if isinstance(value, str) else value


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it, nested tables included.

    >>> merged({"sampler": "dns"}, {"sampler": {"candidates": 8}})
    {'sampler': {'name': 'dns', 'candidates': 8}}
    """
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        old = named(old) if isinstance(value, Mapping) else old
        if isinstance(old, Mapping) and isinstance(value, Mapping) and not _renamed(old, value):
            value = merged(old, value)
        result[key] = value
    return result


def _renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether a table names something else, so that settings of the old are not its own."""
    return "name" in new and new["name"] != old.get("name", new["name"])
