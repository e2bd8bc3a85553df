"""Generation through a provider's Batch API, in rounds until every item has its records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from filelock import FileLock, Timeout

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.event_loop import run_to_end
from neggen.generation.backends.base import Backend
from neggen.generation.backends.budget import Prices
from neggen.generation.batches.collecting import Deferring
from neggen.generation.batches.files import Limits
from neggen.generation.batches.importing import Imported
from neggen.generation.batches.ledger import Ledger
from neggen.generation.batches.provider import Provider
from neggen.generation.batches.rounds import Round, Waiting
from neggen.generation.journal import Journal
from neggen.generation.prepared import GenerationSummary, Options
from neggen.generation.run import generate
from neggen.workspace import Workspace


@dataclass
class BatchRun:
    """What happened.

    Attributes:
        summary: of the records at the end; its ``asked`` counts nothing, as batches answered.
        imported: what all batches brought.
        batches: how many were collected.
    """

    summary: GenerationSummary
    imported: Imported = field(default_factory=Imported)
    batches: int = 0


def generate_in_batches(
    workspace: Workspace,
    data: Dataset,
    backend: Backend,
    base_url: str,
    *,
    prices: Prices | None = None,
    waiting: Waiting | None = None,
    limits: Limits | None = None,
    on_wait: Callable[[int, int], None] | None = None,
    **options: Unpack[Options],
) -> BatchRun:
    """Generate as ``generate`` does, but through a provider's Batch API, until all is done.

    It first goes on with the batches that it finds in the journal. Ctrl-C ends the waiting and not
    the batches; the same call goes on. Until a batch ends, no other run asks what it asks.

    Args:
        workspace: where the journal and the records are.
        data: the catalogue.
        backend: who would answer on line; its answers and those of the batches are the same.
        base_url: address of the API, such as ``https://api.openai.com/v1``.
        prices: of calls in a batch, which are often half of the usual ones.
        waiting: how to wait.
        limits: of one batch.
        on_wait: called with the requests done and in all, of the batches under way.
        options: see :class:`~neggen.generation.prepared.Options`.

    Raises:
        NegGenError: If the provider refuses or cannot be reached, a batch failed as a whole,
            another process waits already, or an option cannot be used.
    """
    retry_failed = options.pop("retry_failed", False)
    imported, batches = Imported(), 0
    with _alone(workspace) as folder:
        while True:
            provider = Provider(base_url, (waiting or Waiting()).patience)
            work = Round(
                provider, folder, limits or Limits(), waiting or Waiting(), prices, on_wait
            )
            options["retry_failed"] = retry_failed
            run_to_end(work.run(workspace, data, backend, options))
            retry_failed = options["retry_failed"] = False
            summary = generate(workspace, data, Deferring(backend), **options)
            imported.add(work.imported)
            batches += work.collected
            if work.problem:
                raise NegGenError(
                    f"A batch failed at {provider.address} ({work.problem}); mend what it names "
                    "and run the same command again: all answers so far are kept."
                )
            if work.collected and not work.imported.progress:
                why = ", ".join(work.imported.again) or "it gave no reasons"
                summary.stopped = f"the last batch brought no answer ({why})"
            if not work.collected or summary.stopped is not None:
                return BatchRun(summary, imported, batches)


def forget_batches(workspace: Workspace) -> int:
    """Give up all batches under way and return how many there were.

    Their requests will be asked again, though the provider may still work on them and bill them.

    Raises:
        NegGenError: If a process waits for them, or the journal cannot be used.
    """

    async def forget() -> int:
        async with Journal(workspace.journal_path) as journal:
            ledger = await Ledger.open(journal)
            batches = ledger.batches()
            for batch in batches:
                await ledger.close(batch.name)
            return len(batches)

    with _alone(workspace) as folder:
        for file in folder.glob("*.jsonl"):
            file.unlink()
        return run_to_end(forget())


@contextmanager
def _alone(workspace: Workspace) -> Iterator[Path]:
    """Give the folder of the batches' files to this process alone."""
    path = workspace.journal_path
    folder = path.with_name(f"{path.name}-batches")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=0):
            yield folder
    except Timeout:
        raise NegGenError(
            f"Another process waits for the batches of {workspace.path} already; let it, or end it "
            "with Ctrl-C."
        ) from None
    except OSError as error:
        raise NegGenError(
            f"The folder {folder} cannot be used ({error}); check that it may be written and that "
            "the disk has room, then run the same command again."
        ) from None
