"""Whether this installation can do what it should."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import time
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata, version
from pathlib import Path
from typing import TYPE_CHECKING

import neggen
from neggen.cli.checkup import Check, Note
from neggen.errors import NegGenError, first_line

if TYPE_CHECKING:
    from packaging.requirements import Requirement

LEAST_FREE = 100 * 10**6
"""Bytes free on a disk below which it fails: generation alone holds some back."""
OLDEST_SQLITE = (3, 32)
"""The first with ``iif``, which the journal uses."""
FOR_DEVELOPERS = {"dev", "docs"}
"""Extras that no user lacks."""


def installation_checks(folder: Path) -> dict[str, Check]:
    """Return the checks by name; ``folder`` is on the disk that must have room."""
    return {
        "neggen": lambda: f"{neggen.__version__} on Python {platform.python_version()}",
        "packages": _packages,
        "extras": _extras,
        "torch": _torch,
        "threads": _threads,
        "sqlite": _sqlite,
        "encoder": _encoder,
        "disk": lambda: _disk(folder),
    }


def _packages() -> str:
    needed = _requirements()
    if wrong := _unmet(needed):
        quoted = " ".join(f"'{requirement}'" for requirement in wrong.values())
        raise NegGenError(f"{', '.join(wrong)}; mend it with: pip install {quoted}")
    return f"all {len(needed)} that neggen needs"


def _extras() -> str:
    extras = sorted(set(_declared().get_all("Provides-Extra", [])) - FOR_DEVELOPERS)
    lacking = {extra: wrong for extra in extras if (wrong := _unmet(_requirements(extra)))}
    there = ", ".join(extra for extra in extras if extra not in lacking) or "none"
    if not lacking:
        return there
    why = "; ".join(f"{extra} ({', '.join(wrong)})" for extra, wrong in lacking.items())
    names = ",".join(lacking)
    return Note(f'{there}; not: {why}. If you want them: pip install "neggen[{names}]"')


def _requirements(extra: str = "") -> list[Requirement]:
    """Return what neggen requires here, or what an extra requires beyond that."""
    from packaging.requirements import Requirement

    declared = [Requirement(line) for line in _declared().get_all("Requires-Dist", [])]

    def wanted(requirement: Requirement, by: str) -> bool:
        return requirement.marker is None or requirement.marker.evaluate({"extra": by})

    return [
        requirement
        for requirement in declared
        if wanted(requirement, extra) and not (extra and wanted(requirement, ""))
    ]


def _declared() -> PackageMetadata:
    try:
        return metadata("neggen")
    except PackageNotFoundError:
        raise NegGenError(
            "neggen runs from a folder without being installed, so what it requires is not known; "
            "install it with: pip install -e FOLDER"
        ) from None


def _unmet(requirements: list[Requirement]) -> dict[str, str]:
    """Return, by what is wrong, the requirements that are not fulfilled, as pip takes them."""
    wrong = {}
    for requirement in requirements:
        asked = f"{requirement.name}{requirement.specifier}"
        try:
            there = version(requirement.name)
        except PackageNotFoundError:
            wrong[f"{requirement.name} is missing"] = asked
            continue
        if not requirement.specifier.contains(there, prereleases=True):
            wrong[f"{requirement.name} {there} is not {requirement.specifier}"] = asked
    return wrong


def _torch() -> str:
    import torch

    names = []
    for number in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(number)
        try:
            torch.ones(1, device=f"cuda:{number}").sum().item()
        except RuntimeError as error:
            raise NegGenError(
                f"torch {torch.__version__} cannot compute on {name} "
                f"({first_line(error)}); install the build for your CUDA version that "
                "https://pytorch.org/get-started names, or stay with --device cpu."
            ) from None
        names.append(name)
    if not names and (unused := _nvidia_gpus()):
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        return Note(
            f"{torch.__version__} is built {built}, so that {', '.join(unused)} cannot be used "
            "(by --device cuda); install the build for your driver that "
            "https://pytorch.org/get-started names."
        )
    return f"{torch.__version__}, GPUs: {', '.join(names) or 'none'}"


def _nvidia_gpus() -> list[str]:
    """Return the names of the GPUs that the driver's own program sees."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    listing = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(listing, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []  # a driver without a GPU says so by failing
    return told.stdout.split("\n")[:-1]


def _threads() -> str:
    import torch

    threads = torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores and threads > cores:
        return Note(
            f"{threads} threads on {cores} cores hinder each other; set OMP_NUM_THREADS={cores}"
        )
    return f"{threads} on {cores} cores (OMP_NUM_THREADS sets them)"


def _sqlite() -> str:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise NegGenError(
            f"SQLite {sqlite3.sqlite_version} is too old for the journal, which needs 3.32; use a "
            "newer Python."
        )
    return sqlite3.sqlite_version


def _encoder() -> str:
    from neggen.encoding.text import TextEncoder

    encoder, texts = TextEncoder(), [f"a blue mug with {n} dots" for n in range(64)]
    encoder.encode(texts[:1])
    started = time.monotonic()
    dim = encoder.encode(texts).shape[1]
    return f"{encoder.name}, {dim} dimensions, {64 / (time.monotonic() - started):.0f} texts/s"


def _disk(folder: Path) -> str:
    existing = next(p for p in [folder.absolute(), *folder.absolute().parents] if p.exists())
    free = shutil.disk_usage(existing).free
    if free < LEAST_FREE:
        raise NegGenError(
            f"Only {free / 1e6:.0f} MB are free at {existing}; make room before anything is asked."
        )
    return f"{free / 1e9:.1f} GB free at {existing}"
