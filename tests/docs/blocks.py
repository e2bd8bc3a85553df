"""The code on a page: its fenced blocks, and the commands that stand indented."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"python", "sh", "console", "toml", "json", "jsonl", "csv", "text", "yaml", ""}
PROGRAMS = {"neggen", "make", "pip", "python"}
"""What begins a command that is looked at; the rest of a shell is not."""

_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]*?) -->\n+)?"
    r"^```(?P<language>[^\s`]*)(?P<options>[^\n`]*)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: where it stands.
        line: of its first line of code, from 1.
        language: as written.
        title: the file that it is, or None.
        reason: why it is not run, or None if it is.
        code: what it holds.
    """

    page: Path
    line: int
    language: str
    title: str | None
    reason: str | None
    code: str

    def commands(self) -> list[str]:
        """The commands of a shell block; of a console, what follows the prompts."""
        if self.language == "console":
            lines = re.findall(r"^\$ (.*)$", self.code, re.MULTILINE)
            return [command for line in lines for command in joined(line)]
        return joined(self.code)


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        title = _TITLE.search(found["options"])
        yield Block(
            page,
            text.count("\n", 0, found.start("code")) + 1,
            found["language"],
            title[1] if title else None,
            found["reason"],
            found["code"],
        )


def without_code(page: Path) -> str:
    """Return a page with its fenced blocks blank, so that line numbers stay."""
    text = page.read_text(encoding="utf-8")
    return _FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)


def typed_commands(page: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every command of a page that begins with one of ``PROGRAMS``."""
    for block in blocks(page):
        if block.language in ("sh", "console"):
            for command in block.commands():
                if command.split()[0] in PROGRAMS:
                    yield block.line, command
    outside = without_code(page)
    for found in re.finditer(r"(?:^    .*\n)+", outside, re.MULTILINE):
        line = outside.count("\n", 0, found.start()) + 1
        for command in joined(re.sub(r"^    ", "", found[0], flags=re.MULTILINE)):
            if command.split()[0] in PROGRAMS:
                yield line, command


def joined(code: str) -> list[str]:
    """Return the commands of some lines: continued ones as one, those joined by && apart."""
    whole = re.sub(r"\\\n", " ", code)
    lines = (line.strip() for line in whole.splitlines())
    parts = (part.strip() for line in lines for part in line.split("&&"))
    return [part for part in parts if part and not part.startswith("#")]


def words(command: str) -> list[str]:
    """Return the words of a command without its comment."""
    return shlex.split(command, comments=True)
