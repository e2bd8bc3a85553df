"""Which process owns a claim, and whether it is still alive."""

from __future__ import annotations

import uuid
from pathlib import Path

from filelock import FileLock, Timeout


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
        if name == self.name:
            return False
        path = self._folder / f"{name}.lock"
        if not path.exists():
            return True
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            return False
        return True

    def close(self) -> None:
        """Die."""
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)
