"""Search spaces: where tuning looks for the settings of a row.

::

    layers = [1, 2, 3]                                  # one of these
    regularization = {low = 10, high = 2000, log = true}
    base.dim = [32, 64]                                 # a setting inside a setting
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from neggen.config import Config
from neggen.errors import NegGenError
from neggen.overrides import flat, merged, named
from neggen.workspace import read_toml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Built = TypeVar("Built", bound=Config)


class Range(Config):
    """The values of a setting between two bounds."""

    low: float
    """The least value."""
    high: float
    """The greatest value."""
    log: bool = False
    """Whether every order of magnitude is as likely."""


Space = Range | tuple[Any, ...]
"""A range, or a list of values."""


@cache
def _packaged_spaces() -> dict[str, dict[str, dict[str, Space]]]:
    """Return the spaces of ``models``, ``samplers`` and ``losses``, each by name."""
    tables = read_toml(packaged("spaces.toml"))
    return {
        kind: {name: read_space(f"{kind}.{name}", table) for name, table in spaces.items()}
        for kind, spaces in tables.items()
    }


def usual_space(model: str, settings: Mapping[str, Any]) -> dict[str, Space]:
    """Return where tuning looks unless a study says otherwise: never at what ``settings`` set."""
    spaces = _packaged_spaces()
    found = dict(spaces["models"].get(model, {}))
    for kind, setting in (("samplers", "sampler"), ("losses", "loss")):
        name = named(settings.get(setting, {})).get("name")
        for key, values in spaces[kind].get(name, {}).items():
            found[f"{setting}.{key}"] = values
    kept = dict(flat(settings))
    return {name: values for name, values in found.items() if name not in kept}


def read_space(where: str, table: Mapping[str, Any], prefix: str = "") -> dict[str, Space]:
    """Read a search space, in which ``base.layers`` may be a table in a table.

    Raises:
        NegGenError: If it is none, naming ``where`` it stands.
    """
    space: dict[str, Space] = {}
    for name, value in table.items():
        if isinstance(value, Mapping) and not set(Range.model_fields) & set(value):
            space |= read_space(where, value, f"{prefix}{name}.")
        elif isinstance(value, Mapping):
            found = build(f"{where}.{prefix}{name}", Range, value)
            if found.low >= found.high or (found.log and found.low <= 0):
                raise NegGenError(
                    f"{where}.{prefix}{name} needs low < high, and with log 0 < low; it has "
                    f"low = {found.low:g} and high = {found.high:g}."
                )
            space[prefix + name] = found
        elif isinstance(value, list) and value:
            space[prefix + name] = tuple(value)
        else:
            raise NegGenError(
                f"{where}.{prefix}{name} = {value!r} is no search space; give a list of values or "
                "{low = 1, high = 10}."
            )
    return space


def nested(name: str, value: Any) -> dict[str, Any]:
    """Return the settings that set one, such as ``{"base": {"layers": 2}}`` for ``base.layers``."""
    *parents, leaf = name.split(".")
    settings: dict[str, Any] = {leaf: value}
    for parent in reversed(parents):
        settings = {parent: settings}
    return settings


def with_settings(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay changes by dotted name over settings."""
    for name, value in changes.items():
        settings = merged(settings, nested(name, value))
    return dict(settings)


def packaged(name: str) -> Path:
    """Return the path of a file that comes with this package."""
    return Path(str(files("neggen.comparison"))) / name


def build(where: str, kind: type[Built], values: Any) -> Built:
    """Build a configuration from a table, saying where it stands if it is wrong."""
    if not isinstance(values, Mapping):
        raise NegGenError(f"{where} = {values!r} is not a table.")
    try:
        return kind.build(values)
    except NegGenError as error:
        raise NegGenError(f"In {where}: {error}") from None


def written(space: Mapping[str, Space]) -> dict[str, Any]:
    """Return a space as a study file has it."""
    return {
        name: values.model_dump() if isinstance(values, Range) else list(values)
        for name, values in space.items()
    }


def points(space: Mapping[str, Space], most: int) -> list[dict[str, Any]] | None:
    """Return every point of a space of at most ``most``, as Optuna parameters; else None."""
    lists = [values for values in space.values() if not isinstance(values, Range)]
    if len(lists) < len(space) or prod(map(len, lists)) > most:
        return None
    choices = [[_encoded(value) for value in values] for values in lists]
    return [dict(zip(space, point, strict=True)) for point in product(*choices)]


def distributions(space: Mapping[str, Space]) -> dict[str, BaseDistribution]:
    """Return a space as Optuna has it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return {
        name: FloatDistribution(values.low, values.high, log=values.log)
        if isinstance(values, Range)
        else CategoricalDistribution([_encoded(value) for value in values])
        for name, values in space.items()
    }


def decoded(params: Mapping[str, Any], space: Mapping[str, Space]) -> dict[str, Any]:
    """Return Optuna parameters as values of settings, by dotted name."""
    found = {}
    for name, param in params.items():
        values = space[name]
        choices = {} if isinstance(values, Range) else {_encoded(value): value for value in values}
        found[name] = choices.get(param, param)
    return found


def samples(values: Space) -> list[Any]:
    """Return values that tell whether a setting can take those of its space."""
    if isinstance(values, Range):
        return [values.low, values.high, values.low + 0.618 * (values.high - values.low)]
    return list(values)


def _encoded(value: Any) -> Any:
    """Return a choice as Optuna can store it: a list or a table becomes text."""
    return json.dumps(value) if isinstance(value, (list, dict)) else value
