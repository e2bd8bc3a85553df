"""The prompt templates, one folder a version, and how item text is put into them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from neggen.errors import NegGenError

LATEST = "v1"
LONGEST_TEXT = 8000
"""Characters of an item's text that go into a prompt; the rest is left out."""

# string.Template never looks into what it puts in, so `$name` in an item's text is harmless. What
# must not survive is a tag that ends the quotation early.
_QUOTATION_TAG = re.compile(r"<(?=\s*/?\s*item-data)", re.IGNORECASE)


@dataclass(frozen=True)
class Prompts:
    """One version of all templates.

    Attributes:
        version: name of the folder, such as ``v1``.
        templates: file name without ``.md`` to contents, such as ``fused.system``.
    """

    version: str
    templates: dict[str, str]

    @property
    def content_hash(self) -> str:
        """SHA-256 over all templates, hexadecimal."""
        digest = hashlib.sha256()
        for name, template in sorted(self.templates.items()):
            digest.update(f"{name}\0{template}\0".encode())
        return digest.hexdigest()

    def render(self, name: str, **values: str) -> str:
        """Fill a template; every value is treated as untrusted data."""
        safe = {key: _QUOTATION_TAG.sub("(", value[:LONGEST_TEXT]) for key, value in values.items()}
        return Template(self.templates[name]).substitute(safe).strip()

    def retry(self, question: str, answer: str, reason: str) -> str:
        """Repeat ``question`` (a rendered prompt) with an invalid answer and what was wrong."""
        return f"{question}\n\n{self.render('retry', answer=answer, reason=reason)}"


@cache
def load_prompts(version: str = LATEST) -> Prompts:
    """Read the templates of a version.

    Raises:
        NegGenError: If there is no such version.
    """
    folder = files(__name__) / version
    if not folder.is_dir():
        raise NegGenError(f"There is no prompt version '{version}'; the latest is '{LATEST}'.")
    return Prompts(
        version,
        {
            entry.name.removesuffix(".md"): entry.read_text(encoding="utf-8")
            for entry in folder.iterdir()
            if entry.name.endswith(".md")
        },
    )
