"""What the doctor finds in an installation."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from neggen.cli.checkup import Note
from neggen.cli.checkup.installation import installation_checks
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from conftest import Cli

METADATA = """Metadata-Version: 2.4
Name: neggen
Version: 0.1.0
Requires-Dist: numpy>=1.26
Requires-Dist: typer{typer}
Provides-Extra: dev
Requires-Dist: nothing-at-all; extra == "dev"
Provides-Extra: sky
Requires-Dist: {sky}; extra == "sky"
"""


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put an installed package of this name before the real one."""

    def write(typer: str = ">=0.1", sky: str = "nothing-of-the-sort>=2") -> None:
        folder = tmp_path / "site" / "neggen-0.1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(METADATA.format(typer=typer, sky=sky))
        monkeypatch.syspath_prepend(str(tmp_path / "site"))

    return write


@pytest.fixture
def look() -> Callable[[str], str]:
    """What one check says, with its level before it where it is not well."""

    def finding(name: str) -> str:
        try:
            text = installation_checks(Path())[name]()
        except NegGenError as error:
            return f"FAILS: {error}"
        return f"note: {text}" if isinstance(text, Note) else text

    return finding


def test_a_sound_installation_is_sound(cli: Cli) -> None:
    found = cli("doctor", "--json").json()
    assert list(found) == [
        "neggen", "packages", "extras", "torch", "threads", "sqlite", "encoder", "disk",
    ]  # fmt: skip
    assert all(each["ok"] for each in found.values())
    assert torch.__version__ in found["torch"]["finding"]


def test_a_package_of_another_version_fails(look, declare) -> None:
    declare(typer=">=99", sky="numpy>=1")
    found = look("packages")
    assert found.startswith("FAILS: typer ")
    assert found.endswith("is not >=99; mend it with: pip install 'typer>=99'")
    assert look("extras") == "sky"


def test_an_extra_that_is_not_there_is_noted(look, declare) -> None:
    declare()
    assert look("packages") == "all 2 that neggen needs"
    assert look("extras") == (
        "note: none; not: sky (nothing-of-the-sort is missing). "
        'If you want them: pip install "neggen[sky]"'
    )


def test_a_gpu_that_torch_cannot_use_is_noted(
    look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("torch can use the GPU of this machine")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA Imaginary 9000'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = look("torch")
    assert found.startswith("note")
    assert "NVIDIA Imaginary 9000 cannot be used" in found
    program.write_text("#!/bin/sh\necho 'no devices were found'\nexit 6\n")
    assert look("torch").endswith("GPUs: none")


def test_more_threads_than_cores_are_noted(look) -> None:
    cores, before = len(os.sched_getaffinity(0)), torch.get_num_threads()
    torch.set_num_threads(cores + 1)
    try:
        found = look("threads")
    finally:
        torch.set_num_threads(before)
    assert found.startswith("note")
    assert f"set OMP_NUM_THREADS={cores}" in found
    assert look("threads").startswith(f"{before} on {cores} cores")
