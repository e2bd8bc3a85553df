"""The notebooks run, and are committed as they ran, without a trace of where."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import neggen

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
PLACES = re.compile(r"/(?:home|root|Users|work|tmp|usr|opt|var)/|[A-Z]:\\")


def outputs(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Return the kinds of output of every cell, but for remarks on standard error."""
    return [
        [each.output_type for each in cell.get("outputs", []) if each.get("name") != "stderr"]
        for cell in notebook.cells
    ]


@every_notebook
def test_it_runs_and_shows_what_is_committed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(neggen.__file__).parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    committed = nbformat.read(path, as_version=4)
    ran = nbformat.read(path, as_version=4)
    NotebookClient(ran, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert outputs(ran) == outputs(committed)


@every_notebook
def test_it_is_committed_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.metadata == {} for cell in notebook.cells)
    text = path.read_text(encoding="utf-8")
    assert not PLACES.search(text)
    assert '"stderr"' not in text
    assert any(cell.outputs for cell in code)
