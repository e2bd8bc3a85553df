"""Classes by the name that settings and the command line call them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from neggen.errors import NegGenError, nearest

Kind = TypeVar("Kind")
Added = TypeVar("Added")


class Registry(Mapping[str, str], Generic[Kind]):
    """The classes of one kind: those of this package and those that others add.

    Others add a class by ``@REGISTRY.register`` where it is defined or, so that the command line
    finds it, by an entry point of their package::

        [project.entry-points."neggen.samplers"]
        recency = "my_package.recency:Recency"

    As a mapping it holds, by name, where each class lives, ``module:Class``, those of others
    first; a class is imported when it is asked for. What this package has keeps its name: nobody
    can replace it.
    """

    def __init__(self, kind: str, group: str, built_in: Mapping[str, str]) -> None:
        """Name the kind, as sentences do, the group of entry points, and what is there already."""
        self._kind = kind
        self._group = group
        self.built_in = dict(built_in)
        self._added: dict[str, str] = {}
        self._classes: dict[str, type[Kind]] = {}

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def register(self, cls: type[Added]) -> type[Added]:
        """Add a class under its ``name``; a decorator.

        Raises:
            NegGenError: If it has no name, or there is another class of that name.
        """
        name = getattr(cls, "name", None)
        place = f"{cls.__module__}:{cls.__qualname__}"
        if not isinstance(name, str):
            raise NegGenError(
                f"{place} is no {self._kind} with a name; set name = '…' in its class."
            )
        known = {**self._added, **self.built_in}
        if known.get(name, place) != place:
            raise NegGenError(f"There is a {self._kind} '{name}' already: {known[name]}.")
        self._added[name] = place
        self._classes[name] = cls  # type: ignore[assignment]
        return cls

    def find(self, name: str) -> type[Kind]:
        """Return the class called ``name``.

        Raises:
            NegGenError: If there is none, naming the nearest one, or if the package that offers it
                cannot be imported.
        """
        if not isinstance(name, str):
            raise NegGenError(f"{name!r} names no {self._kind}; a name is text.")
        if name in self._classes:
            return self._classes[name]
        places = self._all()
        if name not in places:
            known = f" There are: {', '.join(places)}." if places else " No package offers one."
            hint = nearest(name, places) or known
            raise NegGenError(f"There is no {self._kind} '{name}'.{hint}")
        module, _, attribute = places[name].partition(":")
        try:
            found: type[Kind] = getattr(import_module(module), attribute)
        except Exception as error:  # other people's code may fail in any way
            if name in self.built_in:
                raise
            raise NegGenError(
                f"The {self._kind} '{name}' cannot be imported from {places[name]} ({error}); "
                f"mend or remove the package that offers it."
            ) from None
        return found

    def pick(self, what: str, settings: Mapping[str, Any]) -> tuple[type[Kind], dict[str, Any]]:
        """Return the class that ``settings`` name, and the other settings.

        Args:
            what: the setting that they are, such as ``sampler``.
            settings: a ``name``, and what is set of it.

        Raises:
            NegGenError: If they name none, or one that there is not.
        """
        rest = dict(settings)
        if "name" not in rest:
            raise NegGenError(
                f"{what} = {dict(settings)!r} has no name; name one of {', '.join(self)}."
            )
        return self.find(rest.pop("name")), rest

    @cached_property
    def _installed(self) -> dict[str, str]:
        return {point.name: point.value for point in entry_points(group=self._group)}

    def _all(self) -> dict[str, str]:
        return {**self._installed, **self._added, **self.built_in}
