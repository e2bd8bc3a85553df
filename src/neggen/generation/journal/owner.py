"""Which process owns a claim, and whether it is still alive."""

from __future__ import annotations

import uuid
from pathlib import Path

from filelock import FileLock, Timeout


def owners_folder(path: Path) -> Path:
    """Return the folder of the lock files of all owners of the journal at ``path``."""
    return path.with_name(f"{path.name}-owners")


class Owner:
    """A name that is alive as long as this process, or until it is closed.

    A lock file of that name is held. The operating system frees it when the process dies, however
    it dies, so no clock and no process id has to be trusted.
    """

    def __init__(self, folder: Path) -> None:
        """Become alive; ``folder`` holds the lock files of all owners."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.name = uuid.uuid4().hex
        self._lock = FileLock(folder / f"{self.name}.lock")
        self._lock.acquire()

    def is_dead(self, name: str) -> bool:
        """Return whether the owner called ``name`` is no more."""
        return name != self.name and is_dead(self._folder, name)

    def close(self) -> None:
        """Die."""
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)


def is_dead(folder: Path, name: str) -> bool:
    """Return whether the owner called ``name``, another than oneself, is no more."""
    path = folder / f"{name}.lock"
    if not path.exists():
        return True
    try:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
    except Timeout:
        return False
    return True


def anyone_alive(folder: Path) -> bool:
    """Return whether any owner, another than oneself, is alive; it need not exist."""
    return any(not is_dead(folder, path.stem) for path in folder.glob("*.lock"))
