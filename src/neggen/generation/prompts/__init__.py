"""The prompt templates, one folder a version, and how item text is put into them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from string import Template

from neggen.errors import NegGenError, nearest
from neggen.generation.records import MODALITIES, Modality

LATEST = "v1"
LONGEST_TEXT = 8000
"""Characters of an item's text that go into a prompt; the rest is left out."""
LONGEST_TEMPLATE = 20_000

# string.Template never looks into what it puts in, so `$name` in an item's text is harmless. What
# must not survive is a tag that ends the quotation early.
_QUOTATION_TAG = re.compile(r"<(?=\s*/?\s*item-data)", re.IGNORECASE)


@dataclass(frozen=True)
class Prompts:
    """One version of all templates.

    Attributes:
        version: name of the folder, such as ``v1``, with ``+`` and a folder of one's own.
        templates: file name without ``.md`` to contents, such as ``fused.system``.
    """

    version: str
    templates: dict[str, str]

    def content_hash(self, modality: Modality) -> str:
        """SHA-256 over all templates that questions about one modality use, hexadecimal."""
        return self._hashes[modality]

    @cached_property
    def _hashes(self) -> dict[Modality, str]:
        hashes: dict[Modality, str] = {}
        for modality in MODALITIES:
            others = tuple(f".{other}" for other in MODALITIES if other != modality)
            digest = hashlib.sha256()
            for name, template in sorted(self.templates.items()):
                if not name.endswith(others):
                    digest.update(f"{name}\0{template}\0".encode())
            hashes[modality] = digest.hexdigest()
        return hashes

    def render(self, name: str, **values: str) -> str:
        """Fill a template; every value is treated as untrusted data."""
        safe = {key: _QUOTATION_TAG.sub("(", value[:LONGEST_TEXT]) for key, value in values.items()}
        return Template(self.templates[name]).substitute(safe).strip()

    def system(self, step: str) -> str:
        """Return the system prompt of a step."""
        return self._systems[step]

    @cached_property
    def _systems(self) -> dict[str, str]:
        names = [name for name in self.templates if name.endswith(".system")]
        return {name.removesuffix(".system"): self.render(name) for name in names}

    def retry(self, question: str, answer: str, reason: str) -> str:
        """Repeat ``question`` (a rendered prompt) with an invalid answer and what was wrong."""
        return f"{question}\n\n{self.render('retry', answer=answer, reason=reason)}"

    def replaced_by(self, folder: Path) -> Prompts:
        """Return these templates with those in ``folder``, ``NAME.md``, in their places.

        Raises:
            NegGenError: If the folder is missing or empty, a file has no template's name, or does
                not use exactly the placeholders of the template that it replaces.
        """
        if not folder.is_dir():
            raise NegGenError(f"The prompt folder {folder} does not exist.")
        found = sorted(folder.glob("*.md"))
        if not found:
            raise NegGenError(
                f"The prompt folder {folder} has no .md file; it may hold any of "
                f"{', '.join(f'{name}.md' for name in sorted(self.templates))}."
            )
        own = {path.stem: self._checked(path) for path in found}
        return Prompts(f"{self.version}+{folder.name}", {**self.templates, **own})

    def _checked(self, path: Path) -> str:
        if path.stem not in self.templates:
            raise NegGenError(
                f"{path} is not the name of a prompt; there are "
                f"{', '.join(f'{name}.md' for name in sorted(self.templates))}."
                f"{nearest(path.stem, self.templates)}"
            )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise NegGenError(f"The prompt {path} cannot be read as UTF-8 ({error}).") from None
        if not text.strip():
            raise NegGenError(f"The prompt {path} is empty.")
        if len(text) > LONGEST_TEMPLATE:
            raise NegGenError(
                f"The prompt {path} has {len(text):,} characters; stay under {LONGEST_TEMPLATE:,}."
            )
        wanted = set(Template(self.templates[path.stem]).get_identifiers())
        given = set(Template(text).get_identifiers())
        if not Template(text).is_valid() or given != wanted:
            names = " and ".join(f"${name}" for name in sorted(wanted)) or "no placeholder"
            raise NegGenError(
                f"The prompt {path} should hold {names} and no other (a dollar sign is written $$)."
            )
        return text


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
