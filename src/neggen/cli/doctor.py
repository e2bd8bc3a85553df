"""The command that finds out what is wrong with an installation, a workspace or an endpoint."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import neggen
from neggen.cli.catalogue import JsonOption, counts
from neggen.cli.output import print_json, print_table
from neggen.errors import NegGenError
from neggen.workspace import Workspace

Check = Callable[[], str]

LEAST_FREE = 100 * 10**6
"""Bytes free on a disk below which it fails: generation alone holds some back."""


def doctor(
    workspace: Annotated[
        Path | None, typer.Argument(help="A workspace to look at as well.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server to ask for its models.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the installation, and a workspace and an endpoint if given; exit 1 if one fails."""
    checks: dict[str, Check] = {
        "neggen": lambda: f"{neggen.__version__} on Python {platform.python_version()}",
        "torch": _torch,
        "encoder": _encoder,
        "disk": lambda: _disk(workspace or Path()),
    }
    if workspace is not None:
        place = workspace
        checks["workspace"] = lambda: _workspace(place)
        if Workspace(place).manifest_path.is_file():
            checks["journal"] = lambda: _journal(place)
            checks["records"] = lambda: _records(place)
            checks["vectors"] = lambda: _vectors(place)
            checks["runs"] = lambda: _runs(place)
    if base_url is not None:
        url = base_url
        checks["endpoint"] = lambda: _endpoint(url)

    findings = {}
    for name, check in checks.items():
        try:
            findings[name] = (True, check())
        except (NegGenError, ImportError, OSError) as error:
            findings[name] = (False, str(error))
    if as_json:
        print_json({name: {"ok": ok, "finding": text} for name, (ok, text) in findings.items()})
    else:
        print_table(
            ["", "", "finding"],
            [[name, "ok" if ok else "FAILS", text] for name, (ok, text) in findings.items()],
        )
    if not all(ok for ok, _ in findings.values()):
        raise typer.Exit(1)


def _torch() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return (
        f"{torch.__version__}, {torch.get_num_threads()} threads, GPUs: {', '.join(gpus) or 'none'}"
    )


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


def _workspace(path: Path) -> str:
    from neggen.data.store import load_dataset

    place = Workspace.open(path)
    data = load_dataset(place)
    if data.content_hash != place.manifest()["content_hash"]:
        raise NegGenError(f"The files of {path} are not those that were imported; import again.")
    return ", ".join(f"{count:,} {name}" for name, count in counts(data).items())


def _journal(path: Path) -> str:
    from neggen.generation.journal.listing import JournalListing

    place = Workspace.open(path)
    records = place.records_path.is_file()
    if not place.journal_path.exists():
        return "none" + (": neggen generate would ask for everything anew" if records else " yet")
    with JournalListing(place.journal_path) as listing:
        for row in listing.rows("PRAGMA quick_check(1)"):
            if row["quick_check"] != "ok":
                raise NegGenError(
                    f"The journal {listing.path} is damaged ({row['quick_check']}); save what can "
                    f"be read with: neggen journal {path} --export FILE.jsonl"
                )
        sides, warning = listing.sides(), listing.warning
    answers = sum(side.answers for side in sides)
    if records and not answers:
        raise NegGenError(
            f"The journal {place.journal_path} is empty, yet there are records: the answers that "
            "they were made from are lost, and neggen generate would ask for all of them anew; "
            "put a copy of it back if you have one."
        )
    given_up = sum(side.dead for side in sides)
    return f"{answers:,} answers, {given_up:,} given up{f'. {warning}' if warning else ''}"


def _records(path: Path) -> str:
    from neggen.data.store import load_dataset
    from neggen.generation.record_files import earlier_import, read_records

    place = Workspace.open(path)
    records = read_records(place.records_path)
    if finding := earlier_import(place.records_path, load_dataset(place)):
        raise NegGenError(finding)
    by_side = records["modality"].value_counts(sort=True).iter_rows()
    return ", ".join(f"{count:,} {side}" for side, count in by_side)


def _vectors(path: Path) -> str:
    from neggen.data.store import load_dataset
    from neggen.encoding.store import load_vectors
    from neggen.generation.record_files import read_records

    place = Workspace.open(path)
    vectors = load_vectors(place, load_dataset(place), read_records(place.records_path))
    shares = vectors.mask.mean(0)
    return ", ".join(
        f"{side} of {share:.0%} of the items"
        for side, share in zip(vectors.modalities, shares, strict=True)
    )


def _runs(path: Path) -> str:
    from neggen.runs import finished_runs

    return ", ".join(run.folder.name for run in finished_runs(Workspace.open(path))) or "none yet"


def _endpoint(base_url: str) -> str:
    import asyncio

    from neggen.generation.backends.openai_compatible import list_models

    started = time.monotonic()
    models = asyncio.run(list_models(base_url))
    return f"{', '.join(models[:5])} ({1000 * (time.monotonic() - started):.0f} ms)"
