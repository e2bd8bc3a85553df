"""The architecture: data flow one way, so a room imports only from itself and rooms to its left."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import neggen

ROOMS = [
    ("errors", "event_loop", "config", "overrides", "registry", "seeding", "workspace"),
    ("data",),
    ("generation",),
    ("encoding",),
    ("negatives",),
    ("evaluation",),
    ("training",),
    ("models",),
    ("recipe", "run_folder", "run_names", "runs", "refitting"),
    ("tracking",),
    ("quality",),
    ("comparison",),
    ("serving",),
    ("studio",),
    ("cli",),
]
PLACE = {name: place for place, names in enumerate(ROOMS) for name in names}
FREE = {"__init__", "testing"}
"""The package's front door names everybody; the contract tests may use everything."""

SOURCE = Path(neggen.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported_rooms(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, room) of every import of ours, wherever in the file it stands."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(SOURCE.parent).parent.parts
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            package, *rest = name.split(".")
            if package == "neggen" and rest and rest != ["__version__"]:
                yield node.lineno, rest[0]


def violations(source: str, path: Path) -> list[str]:
    own = room_of(path)
    if own in FREE:
        return []
    found = []
    for line, room in imported_rooms(ast.parse(source), path):
        if room not in PLACE:
            found.append(f"{path.name}:{line} imports neggen.{room}, which is no room")
        elif PLACE[room] > PLACE[own]:
            found.append(f"{path.name}:{line} imports {room}, to the right of {own}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_leftwards(path: Path) -> None:
    assert room_of(path) in {*PLACE, *FREE}, f"{path} belongs to no room"
    assert violations(path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    "source",
    [
        "import neggen.models.base",
        "from neggen.models.base import Recommender",
        "from neggen import models",
        "from neggen import NegGen",
        "from ..models import base",
        "from .. import models",
        "def f():\n    from neggen.training import loop",
        "if TYPE_CHECKING:\n    from neggen.runs import Run",
    ],
)
def test_the_check_itself_finds_imports_to_the_right(source: str) -> None:
    assert len(violations(source, SOURCE / "data" / "x.py")) == 1


@pytest.mark.parametrize(
    "source", ["from . import dataset", "import neggen", "from ..config import Config"]
)
def test_the_check_itself_lets_imports_to_the_left_pass(source: str) -> None:
    assert violations(source, SOURCE / "data" / "x.py") == []
