"""The command that lists models, samplers and losses, and the settings of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neggen.cli.catalogue import JsonOption
from neggen.cli.output import print_json, print_table
from neggen.errors import NegGenError, nearest

if TYPE_CHECKING:
    from neggen.config import Config
    from neggen.registry import Registry


def models(
    name: Annotated[
        str | None, typer.Argument(help="One of them, such as lightgcn, to see its settings.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List models, samplers of negatives and losses, or the settings of one of them.

    Settings are given to train and tune with --set, such as --set layers=2 or
    --set sampler=dns.
    """
    kinds = _kinds()
    if name is not None:
        _show_settings(name, kinds, as_json)
        return
    listed = {
        kind: {each: _first_line(registry.find(each)) for each in registry}
        for kind, registry in kinds.items()
    }
    if as_json:
        print_json(listed)
        return
    for kind, found in listed.items():
        print_table([kind, "what it is"], list(found.items()))


def _kinds() -> dict[str, Registry[Any]]:
    from neggen.models import MODELS
    from neggen.negatives import SAMPLERS
    from neggen.training.ranking_losses import LOSSES

    return {"model": MODELS, "sampler": SAMPLERS, "loss": LOSSES}


def _show_settings(name: str, kinds: dict[str, Registry[Any]], as_json: bool) -> None:
    """Print the settings of what has this name; a model and a sampler may share one."""
    found = {kind: registry.find(name) for kind, registry in kinds.items() if name in registry}
    if not found:
        known = [each for registry in kinds.values() for each in registry]
        hint = nearest(name, known) or " neggen models lists them."
        raise NegGenError(f"There is no model, sampler or loss '{name}'.{hint}")
    settings = {kind: _settings(getattr(cls, "config_class", cls)) for kind, cls in found.items()}
    if as_json:
        print_json(settings)
        return
    for kind, of_kind in settings.items():
        rows = [
            [key, json.dumps(each["default"]), each["description"]] for key, each in of_kind.items()
        ]
        title = f"{kind} {name}: {_first_line(found[kind])}"
        print_table(["setting", "default", "what it does"], rows, title=title)


def _settings(config: type[Config]) -> dict[str, dict[str, Any]]:
    defaults = config.model_construct().model_dump(mode="json")
    return {
        key: {"default": defaults.get(key), "description": _plain(field.description or "")}
        for key, field in config.model_fields.items()
    }


def _first_line(cls: type) -> str:
    """Return the first sentence of a docstring."""
    return _plain((cls.__doc__ or "").split("\n\n")[0])


def _plain(text: str) -> str:
    """Return a docstring's words without its markup."""
    return " ".join(text.replace("``", "").replace(":mod:", "").replace(":data:", "").split())
