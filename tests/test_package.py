"""The package as a whole: light to import, small files, and nothing that runs data as code."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import neggen

SOURCE = Path(neggen.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
RUNS_DATA = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
HEAVY = {"torch", "sentence_transformers", "transformers", "scipy", "polars"}

every_module = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(SOURCE))
)


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_costs_next_to_nothing() -> None:
    loaded = run_python("import neggen, sys; print(*sys.modules)").split()
    assert not HEAVY & set(loaded)


def test_settings_load_without_torch() -> None:
    loaded = run_python("import neggen.config, neggen.workspace, sys; print(*sys.modules)").split()
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("name", neggen.__all__)
def test_public_names_resolve(name: str) -> None:
    assert getattr(neggen, name).__name__ == name
    assert getattr(neggen, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        neggen.Nothing  # noqa: B018


@every_module
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@every_module
def test_nothing_runs_data_as_code(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        assert not RUNS_DATA & {name.partition(".")[0] for name in modules}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "__import__", "torch.load")
            assert "allow_pickle" not in {keyword.arg for keyword in node.keywords}
