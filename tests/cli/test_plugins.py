"""What another package offers, found by the command line: the examples of the how-to pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from neggen.generation.record_files import read_records
from neggen.workspace import Workspace

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
ENTRY_POINTS = """\
[neggen.readers]
baskets = baskets:BasketReader
[neggen.backends]
opposites = opposites:OppositesBackend
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a package with the reader and the backend that the pages show."""
    folder = tmp_path_factory.mktemp("package")
    for page, file in (("reader.md", "baskets.py"), ("backend.md", "opposites.py")):
        text = (HOWTO / page).read_text(encoding="utf-8")
        found = re.search(rf'```python title="{file}"\n(.*?)```', text, re.DOTALL)
        assert found is not None
        (folder / file).write_text(found[1], encoding="utf-8")
    info = folder / "others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def neggen(package: Path, *typed: object) -> subprocess.CompletedProcess[str]:
    """Call the command line in a process of its own, since it looks for packages once."""
    places = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "neggen.cli", *map(str, typed)],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_installed_reader_is_found_by_the_look_of_a_file(package: Path, tmp_path: Path) -> None:
    source = tmp_path / "people.baskets"
    source.write_text("ann: tea milk sugar\nben: coffee milk\n")
    imported = neggen(package, "import", source, tmp_path / "w")
    assert imported.returncode == 0, imported.stderr
    assert Workspace(tmp_path / "w").manifest()["counts"]["items"] == 4
    source.write_text("ann: tea\nmilk\n")
    refused = neggen(package, "import", source, tmp_path / "other")
    assert refused.returncode == 2
    assert "line 2 has no colon" in " ".join(refused.stderr.split())


def test_an_installed_backend_writes(package: Path, tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,1\n")
    (tmp_path / "items.csv").write_text("item_id,title\n1,A small wooden chair\n2,A glass\n")
    place = tmp_path / "w"
    assert neggen(package, "import", tmp_path, place).returncode == 0
    typed = ["generate", place, "--backend", "opposites", "--set"]
    refused = neggen(package, *typed, "pair=1")
    assert refused.returncode == 2
    assert "it takes (pairs)" in " ".join(refused.stderr.split())
    written = neggen(package, *typed, "pairs.small=large")
    assert written.returncode == 0, written.stderr
    records = read_records(Workspace(place).records_path)
    assert records["negative"].to_list() == ["title: A large wooden chair"]
    unknown = neggen(package, "generate", place, "--backend", "opposite")
    assert unknown.returncode == 2
    assert "Did you mean 'opposites'?" in " ".join(unknown.stderr.split())
