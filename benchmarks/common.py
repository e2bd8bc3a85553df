"""What the benchmarks share: the folder of data, the workspace, the test figures, the last line."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import polars as pl
import typer

from neggen import Dataset, NegGenError, Workspace, make_shop
from neggen.cli.output import console, counting, fail, generating, say
from neggen.config import SplitConfig
from neggen.data.readers import read_source
from neggen.data.store import load_dataset, save_dataset
from neggen.encoding.store import encode
from neggen.encoding.text import TextEncoder
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.backends.recorded import RecordedBackend
from neggen.generation.record_files import read_records
from neggen.generation.run import generate
from neggen.runs import with_vectors

DataOption = Annotated[
    Path, typer.Option(help="The folder of the data set, or the folder it lies in.")
]
NoDataOption = Annotated[
    Path | None, typer.Option(help="Not needed; taken because every benchmark takes it.")
]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(help="Keep everything here, so that the same command goes on where it stopped."),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]


def find_data(data: Path, name: str) -> Path:
    """Return ``data/name`` if there is such a folder, else ``data``."""
    return data / name if (data / name).is_dir() else data


@contextmanager
def imported(source: Path, folder: Path | None) -> Iterator[tuple[Workspace, Dataset]]:
    """Import ``source`` into ``folder``, or into a temporary one that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as temporary:
        workspace = Workspace(folder or temporary)
        with console.status(f"Reading {source}"):
            save_dataset(workspace, read_source(source), source=str(source.resolve()))
            data = load_dataset(workspace)
        users, items = data.shape
        say(f"{workspace.path}: {users:,} users, {items:,} items, {len(data.users):,} interactions")
        yield workspace, data


def describe(workspace: Workspace, data: Dataset, answers: Path, device: str) -> None:
    """Turn the recorded answers into records and vectors; what is there already costs nothing."""
    with generating() as progress:
        generate(workspace, data, RecordedBackend(answers, data.item_ids), on_progress=progress)
    records = read_records(workspace.records_path)
    with counting("Encoding") as progress:
        encode(workspace, data, records, TextEncoder(device=device), progress)


def titled_items(folder: Path, count: int) -> tuple[Workspace, Dataset]:
    """Import a made-up catalogue of ``count`` items with a title each, and nobody's taste."""
    ids = [f"i{number}" for number in range(count)]
    items = pl.DataFrame({"item_id": ids, "title": [f"Thing number {name}" for name in ids]})
    interactions = pl.DataFrame({"user_id": ["u"] * count, "item_id": ids})
    workspace = Workspace(folder)
    save_dataset(workspace, Dataset.from_frames(interactions, items), source="made up")
    return workspace, load_dataset(workspace)


def described_shop(folder: Path, items: int, users: int) -> tuple[Workspace, Dataset]:
    """Import the built-in shop without pictures, split it, and write and encode its records."""
    shop = make_shop(items=items, users=users)
    made = Dataset.from_frames(shop.interactions, shop.items.drop("image"))
    workspace = Workspace(folder)
    save_dataset(workspace, made, source="the built-in shop")
    data = load_dataset(workspace, SplitConfig())
    generate(workspace, data, CatalogueBackend(data))
    encode(workspace, data, read_records(workspace.records_path), TextEncoder())
    return workspace, with_vectors(workspace, data)


@contextmanager
def program(module: str, *options: object) -> Iterator[str]:
    """Run ``python -m module`` meanwhile; yields its first line, the address of a server."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, options)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None  # it is a pipe
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise NegGenError(f"{module} did not start; its error is above.")
        yield address
    finally:
        process.terminate()
        process.communicate()


def environment(folder: Path, requirements: Sequence[str]) -> Path:
    """Return the Python of a virtual environment with a peer in it, made anew for other needs.

    Raises:
        NegGenError: If it cannot be made.
    """
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = "\n".join(requirements)
    if not ready.is_file() or ready.read_text(encoding="utf-8") != wanted:
        make = [[sys.executable, "-m", "venv", "--clear", folder]]
        make += [[python, "-m", "pip", "install", "--quiet", *requirements]]
        with console.status(f"Installing {requirements[0]} in {folder}"):
            for command in make:
                if subprocess.run(command, check=False).returncode:
                    raise NegGenError(
                        f"{requirements[0]} cannot be installed in {folder} with Python "
                        f"{sys.version_info.major}.{sys.version_info.minor}; the reason is above."
                    )
        ready.write_text(wanted, encoding="utf-8")
    return python


def our_torch() -> str:
    """Return the torch that runs this as a requirement, for peers to have the same kernels."""
    return f"torch=={version('torch').partition('+')[0]}"


class Used(NamedTuple):
    """What a process took: wall and CPU seconds, and memory in MiB at its peak."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def run_measured(command: Sequence[str | Path]) -> tuple[dict[str, Any], Used]:
    """Run a command that prints one JSON object; return that and what it took.

    The peak of a process begins at that of whoever starts it, so a small one stands between.

    Raises:
        NegGenError: If it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        told, used = Path(folder) / "told.json", Path(folder) / "used.json"
        watched = [sys.executable, "-c", WATCHER, str(used), *map(str, command)]
        with told.open("wb") as output:
            code = subprocess.run(watched, stdout=output, check=False).returncode
        if code:
            raise NegGenError(f"{' '.join(map(str, command))} ended with {code}; see above.")
        return json.loads(told.read_text() or "{}"), Used(**json.loads(used.read_text()))


WATCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[2:])
seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
with open(sys.argv[1], "w") as file:
    told = {"seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_mib": peak}
    json.dump(told, file)
sys.exit(code)
"""


def print_last_line(figures: Mapping[str, Any]) -> None:
    """Print figures as one line of JSON on standard output."""
    sys.stdout.write(json.dumps(figures, allow_nan=False) + "\n")


def run_benchmark(main: Callable[..., None]) -> None:
    """Parse the command line and run ``main``; an error is one sentence and exit code 2."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except NegGenError as error:
        fail(str(error))
        sys.exit(2)
