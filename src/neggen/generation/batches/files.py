"""Batch files: the requests still to be asked, as JSON lines of OpenAI's Batch API."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.event_loop import run_to_end
from neggen.generation.backends.base import Backend, generator_name
from neggen.generation.batches.collecting import Collector, Line
from neggen.generation.batches.ledger import Ledger
from neggen.generation.journal import Journal
from neggen.generation.prepared import GenerationSummary, Options
from neggen.generation.run import look_ahead
from neggen.generation.runner import Pending
from neggen.workspace import Workspace


@dataclass(frozen=True)
class Limits:
    """What a provider takes in one file; OpenAI's by default.

    Attributes:
        requests: lines.
        size: bytes.
    """

    requests: int = 50_000
    size: int = 200_000_000


class BatchFile:
    """A file of requests that is being written; nobody should use it before it is closed."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Begin an empty file.

        Raises:
            OSError: If it cannot be written; so do all methods.
        """
        self.path = path
        self.requests = self.size = 0
        self._limits = limits
        self._file = path.open("xb")

    def fitting(self, lines: Sequence[Line]) -> int:
        """Return how many lines of the first ones fit; into an empty file at least one does."""
        size = self.size
        for number, line in enumerate(lines):
            size += len(line.text)
            requests = self.requests + number
            if requests and (requests >= self._limits.requests or size > self._limits.size):
                return number
        return len(lines)

    def add(self, line: Line) -> None:
        """Write a line."""
        self._file.write(line.text)
        self.requests += 1
        self.size += len(line.text)

    def close(self) -> None:
        """Return once all is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        """Delete the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        paths: the files, none without a request.
        requests: how many there are in all.
        summary: what is known of the catalogue; ``waiting`` counts the sides with a request too.
    """

    paths: list[Path]
    requests: int
    summary: GenerationSummary


def export_batch(
    workspace: Workspace,
    data: Dataset,
    backend: Backend,
    path: Path,
    *,
    limits: Limits | None = None,
    **options: Unpack[Options],
) -> Export:
    """Write the next question about every side of an item to ``path``.

    What other processes or a provider's batches work on is left out. If one file would be over the
    limits there are several, named as ``path`` with ``-1``, ``-2``, … before its suffix. All appear
    at the end; after an interruption there is none. Nothing is asked; the answers come back with
    :func:`~neggen.generation.batches.importing.import_batch`.

    Args:
        workspace: where the journal is.
        data: the catalogue.
        backend: who would answer on line; its answers and those of the batch are the same.
        path: the file to write, which must not exist.
        limits: of one file.
        options: see :class:`~neggen.generation.prepared.Options`.

    Raises:
        NegGenError: If the file exists or cannot be written, or an option cannot be used.
    """
    if path.exists() or _numbered(path, 1).exists():
        there = path if path.exists() else _numbered(path, 1)
        raise NegGenError(f"{there} exists already; name another file or move it away.")
    try:
        return run_to_end(_export(workspace, data, backend, path, limits or Limits(), options))
    except OSError as error:
        raise NegGenError(
            f"The batch file {path} cannot be written ({error.strerror}); check that its folder "
            "exists and may be written and that the disk has room."
        ) from None


async def _export(
    workspace: Workspace,
    data: Dataset,
    backend: Backend,
    path: Path,
    limits: Limits,
    options: Options,
) -> Export:
    files: list[BatchFile] = []
    noted: list[str] = []
    unique = uuid.uuid4().hex
    async with Journal(workspace.journal_path) as journal:
        ledger = await Ledger.open(journal)
        await journal.release_dead()
        collector: Collector

        async def write(lines: list[Line]) -> None:
            keys = [line.pending.key for line in lines]
            noted.extend(key for key in keys if not ledger.is_open(key))
            await ledger.note(lines)
            while lines:
                fitting = files[-1].fitting(lines) if files else 0
                for line in lines[:fitting]:
                    files[-1].add(line)
                lines = lines[fitting:]
                if lines:
                    if files:
                        files[-1].close()
                    part = path.with_name(f".{path.name}.{unique}.{len(files) + 1}")
                    files.append(BatchFile(part, limits))

        async def note(pending: Pending) -> None:
            if journal.holder(pending.unit)[0] not in ("claimed", "batched"):
                await collector.add(pending)

        generator = generator_name(backend.name, backend.model)
        collector = Collector(backend, ledger.dialect(generator), write)
        try:
            summary = await look_ahead(journal, data, backend, note, **options)
            await collector.flush()
            if files:
                files[-1].close()
            paths = (
                [path] if len(files) == 1 else [_numbered(path, n + 1) for n in range(len(files))]
            )
            for file, place in zip(files, paths, strict=True):
                file.path.replace(place)
        except BaseException:
            await ledger.settle(noted)  # nobody will answer what is in no file
            raise
        finally:
            for file in files:
                file.discard()
    return Export(paths, sum(file.requests for file in files), summary)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
