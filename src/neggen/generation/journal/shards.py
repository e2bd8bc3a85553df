"""Shards: journals for parts of a run on other machines, until they are merged into the main one.

A shard is called after the run that it belongs to, which is alive as an :class:`Owner` of the main
journal, and a number. Several workers may use one, as they may use any journal: one that goes on
where another died finds all its answers there. A shard has lock files of its own, so that it is
merged only when nobody can write it any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from neggen.errors import NegGenError
from neggen.generation.journal.exchange import merge
from neggen.generation.journal.file import JournalFile, shard_folder
from neggen.generation.journal.owner import Owner, anyone_alive, owners_folder

WORKER_SECONDS = 60.0
"""How long to wait for the workers of a run that ended, which wait for what is in flight."""
WAIT_SECONDS = 0.2


def shard_path(path: Path, run: str, number: int) -> Path:
    """Return the path of a shard of the journal at ``path``."""
    return shard_folder(path) / f"{run}-{number}.sqlite"


@contextmanager
def only_driver(path: Path) -> Iterator[None]:
    """Be the only one who has shards of the journal at ``path`` written.

    Raises:
        NegGenError: If another process is.
    """
    folder = shard_folder(path)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "driver.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise NegGenError(
            f"Another run on a cluster works on {path.parent}; wait until it has ended, or end it."
        ) from None
    try:
        yield
    finally:
        lock.release()


def merge_shards(file: JournalFile, owner: Owner) -> None:
    """Take over every shard beside a journal whose run is no more, and delete it.

    A process killed in between finds the next time that it was merged.

    Raises:
        NegGenError: If a shard or the journal cannot be used, or a worker does not end.
    """
    for shard in sorted(shard_folder(file.path).glob("*.sqlite")):
        if owner.is_dead(shard.stem.partition("-")[0]):
            _wait_for_workers(shard)
            merge(file, shard)
            _delete(shard)


def _wait_for_workers(shard: Path) -> None:
    deadline = time.monotonic() + WORKER_SECONDS
    while anyone_alive(owners_folder(shard)):
        if time.monotonic() > deadline:
            raise NegGenError(
                f"A worker of an earlier run still writes {shard}; wait until it has ended, or end "
                "it on its machine, and run the same command again."
            )
        time.sleep(WAIT_SECONDS)


def _delete(shard: Path) -> None:
    shard.unlink(missing_ok=True)
    if owners_folder(shard).is_dir():
        owners_folder(shard).rmdir()
