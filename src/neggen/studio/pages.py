"""Templates of the review app. Every text of a catalogue, answer or person is escaped."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

QUICK: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""How events of the pages are answered: by the response itself.

Gradio's queue answers over a stream that it closes when nothing is pending; an event that arrives
at that moment would be carried out, but the page would not hear of it.
"""


def page(template: str, **values: Any) -> str:
    """Fill a template of the folder ``templates/app``."""
    return _environment().get_template(f"app/{template}").render(values)


def asset(name: str) -> str:
    """Return the text of a style sheet or script of that folder."""
    return files("neggen.studio").joinpath("templates", "app", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("neggen.studio"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
