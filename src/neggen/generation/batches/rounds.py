"""One round of batches: upload, wait, collect.

Each step is noted in the journal before the next begins, and what may have happened just before a
crash is looked for at the provider. So no request is uploaded twice, and a restart goes on waiting.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from neggen.data.dataset import Dataset
from neggen.generation.backends.base import Backend, generator_name
from neggen.generation.backends.budget import Prices
from neggen.generation.batches.collecting import Collector, Line
from neggen.generation.batches.files import BatchFile, Limits
from neggen.generation.batches.importing import Imported, take_results
from neggen.generation.batches.ledger import Batch, Ledger
from neggen.generation.batches.provider import Progress, Provider
from neggen.generation.journal import Journal
from neggen.generation.prepared import Options
from neggen.generation.run import look_ahead
from neggen.generation.runner import Pending
from neggen.workspace import Workspace


@dataclass(frozen=True)
class Waiting:
    """How to wait for batches.

    Attributes:
        first: seconds until a batch is looked at for the first time.
        longest: seconds between two looks, at most; each is 1.5 times the one before.
        patience: seconds for which a provider that cannot be reached is tried again.
    """

    first: float = 5.0
    longest: float = 120.0
    patience: float = 3600.0


@dataclass
class Round:
    """Goes on with what is under way, sends what is to be asked, and collects all of it.

    Attributes:
        provider: the provider.
        folder: where the files of batches are until the provider has them; no one else uses it.
        limits: of one batch.
        waiting: how to wait.
        prices: of calls in a batch.
        on_wait: called with the requests done and in all, of the batches under way.
        imported: what the batches brought.
        collected: how many batches ended.
        problem: why a batch failed as a whole, or an empty text.
    """

    provider: Provider
    folder: Path
    limits: Limits
    waiting: Waiting
    prices: Prices | None
    on_wait: Callable[[int, int], None] | None
    imported: Imported = field(default_factory=Imported)
    collected: int = 0
    problem: str = ""

    async def run(
        self, workspace: Workspace, data: Dataset, backend: Backend, options: Options
    ) -> None:
        """Do it; the provider's connections are closed at the end.

        Raises:
            NegGenError: If the provider refuses or cannot be reached, or an option cannot be used.
        """
        try:
            async with Journal(workspace.journal_path) as journal:
                ledger = await Ledger.open(journal)
                for batch in ledger.batches():
                    if batch.state == "preparing":  # by a process that is no more
                        await self._discard(ledger, batch.name)
                for batch in ledger.batches(self.provider.address):
                    if batch.state == "written":
                        await self._send(ledger, batch)
                await self._prepare(ledger, data, backend, options)
                await self._collect_all(ledger)
        finally:
            await self.provider.close()

    async def _prepare(
        self, ledger: Ledger, data: Dataset, backend: Backend, options: Options
    ) -> None:
        journal = ledger.journal
        await journal.release_dead()
        file: BatchFile | None = None

        async def write(lines: list[Line]) -> None:
            nonlocal file
            while lines:
                if file is None:
                    name = uuid.uuid4().hex
                    await ledger.begin(name, self.provider.address)
                    file = BatchFile(self._file(name), self.limits)
                fitting = file.fitting(lines)
                for line in await ledger.hold(lines[:fitting], file.path.stem):
                    file.add(line)
                lines = lines[fitting:]
                if lines:
                    await finish()

        async def finish() -> None:
            nonlocal file
            if file is None:
                return
            whole, file = file, None
            whole.close()
            name = whole.path.stem
            if whole.requests == 0:
                await self._discard(ledger, name)
                return
            await ledger.written(name, whole.requests)
            for batch in ledger.batches(self.provider.address):
                if batch.name == name:
                    await self._send(ledger, batch)

        async def note(pending: Pending) -> None:
            if journal.holder(pending.unit)[0] not in ("claimed", "batched"):
                await collector.add(pending)

        dialect = ledger.dialect(generator_name(backend.name, backend.model))
        collector = Collector(backend, dialect, write)
        try:
            await look_ahead(journal, data, backend, note, **options)
            await collector.flush()
            await finish()
        except BaseException:
            if file is not None:
                file.close()
                await self._discard(ledger, file.path.stem)
            raise

    async def _send(self, ledger: Ledger, batch: Batch) -> None:
        path = self._file(batch.name)
        file_id = batch.file_id
        if file_id is None:
            try:
                file_id = await self.provider.file(path.name, batch.at, path)
            except FileNotFoundError:  # nor has the provider one
                await self._discard(ledger, batch.name)
                return
            await ledger.uploaded(batch.name, file_id)
        batch_id = await self.provider.batch(batch.name, batch.at, file_id)
        await ledger.sent(batch.name, batch_id)
        path.unlink(missing_ok=True)

    async def _collect_all(self, ledger: Ledger) -> None:
        pause = self.waiting.first
        while batches := ledger.batches(self.provider.address):
            done, total, before = 0, 0, self.collected
            for batch in batches:
                assert batch.batch_id is not None  # all are sent by now
                progress = await self.provider.progress(batch.batch_id)
                done += progress.done
                total += batch.requests
                if progress.ended:
                    await self._collect(ledger, batch, progress)
            if self.on_wait is not None:
                self.on_wait(done, total)
            if self.collected == before:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, self.waiting.longest)

    async def _collect(self, ledger: Ledger, batch: Batch, progress: Progress) -> None:
        for number, file_id in enumerate(progress.files):
            results = self.folder / f"{batch.name}.results-{number}.jsonl"
            await self.provider.download(file_id, results)
            await take_results(ledger, results, self.prices, self.imported)
            results.unlink()
        if progress.status == "failed":
            self.problem = progress.problem or "it gave no reasons"
        await ledger.close(batch.name)
        self.collected += 1

    async def _discard(self, ledger: Ledger, name: str) -> None:
        await ledger.close(name)
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"
