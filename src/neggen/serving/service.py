"""The run that is served now, the threads that answer, and the change to another run."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from neggen.errors import NegGenError
from neggen.serving.loaded import Loaded, follow, load_run
from neggen.serving.logs import log
from neggen.serving.metrics import Metrics
from neggen.serving.refusals import Refusal
from neggen.serving.settings import ServeSettings

Answer = TypeVar("Answer")

WATCH_SECONDS = 1.0
"""Between two looks at where the pointer leads."""
BACKGROUND = 10
"""How much the loading of a run stands back behind the answers, as the niceness of its thread."""


class Service:
    """What every request shares.

    A request takes ``current`` once and answers with that run, whatever is swapped in meanwhile.

    Attributes:
        current: the run that new requests are answered with.
        draining: whether the server is about to end.
    """

    def __init__(self, settings: ServeSettings) -> None:
        """Load the run to begin with.

        Raises:
            NegGenError: If it cannot be served.
        """
        self.settings = settings
        self.metrics = Metrics()
        self.draining = False
        self._pool = ThreadPoolExecutor(settings.threads, "answer")
        self._encoding = ThreadPoolExecutor(1, "encode")
        self._loader = ThreadPoolExecutor(1, "load", _stand_back)
        self._turn = asyncio.Lock()  # held while another run is loaded
        self._asked, self._anew = asyncio.Event(), False
        # Where the pointer led when it was last followed, and when what is served was loaded.
        self._seen = self._taken = pointed = self._pointed()
        self.current = load_run(pointed[0] if pointed else follow(settings.run), settings)
        self._serve(self.current)

    async def compute(self, job: Callable[..., Answer], *arguments: object) -> Answer:
        """Run a job in one of the threads that answer."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, job, *arguments)

    async def encode(self, job: Callable[..., Answer], *arguments: object) -> Answer:
        """Run a job that encodes texts, which takes long, where it keeps no other one waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._encoding, job, *arguments)

    def find(self, name: str | None) -> Path:
        """Return the folder of a run of the root; without a name, where the pointer leads.

        Raises:
            Refusal: If the name leads out of the root, or there is no such folder.
        """
        if name is None:
            return follow(self.settings.run)
        root = self.settings.root.resolve()
        try:
            folder = (root / name).resolve()
            found = folder.is_dir()
        except (OSError, ValueError, RuntimeError):
            folder, found = root, False  # a name that no folder can have
        if folder == root or not folder.is_relative_to(root):
            raise Refusal(422, "Give the name of a run folder within the root.", "outside_root")
        if not found:
            raise Refusal(404, f"There is no run '{name}'.", "unknown_run")
        return folder

    async def reload(self, folder: Path) -> Loaded:
        """Load a run aside, try it out and serve it from then on; if it is no good, change nothing.

        Raises:
            Refusal: If the run is no good, or another one is just being loaded.
        """
        if self._turn.locked():
            raise Refusal(409, "Another run is just being loaded.", "reload_in_progress")
        async with self._turn:
            return await self._load(folder)

    def look_again(self, *, meanwhile: bool = False) -> None:
        """Ask that what the pointer leads to be served, anew.

        Args:
            meanwhile: whether this was asked while a run was loaded, as it is if one is now; then
                it waits, and counts only if the pointer leads elsewhere once that is done.
        """
        self._anew = self._anew or not (meanwhile or self._turn.locked())
        self._asked.set()

    async def follow_pointer(self) -> None:
        """For ever, follow the pointer when asked; a run that is no good is logged."""
        while True:
            await self._asked.wait()
            async with self._turn:
                self._asked.clear()
                anew, self._anew = self._anew, False
                if not anew and self._taken is not None and self._pointed() == self._taken:
                    continue
                try:
                    await self._load(follow(self.settings.run))
                except (Refusal, NegGenError) as error:
                    log.error("pointer not followed", extra={"fields": {"reason": str(error)}})

    async def watch(self) -> None:
        """For ever, ask that the pointer be followed when it leads elsewhere."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = self._pointed()
            if now != self._seen and now is not None and not self._turn.locked():
                self.look_again()

    def close(self) -> None:
        """End the threads."""
        for pool in (self._pool, self._encoding, self._loader):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _load(self, folder: Path) -> Loaded:
        pointed = self._pointed()  # before the loading, which takes long
        if pointed is not None and pointed[0] == folder:
            self._seen = pointed
        else:
            pointed = None
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(self._loader, load_run, folder, self.settings)
        except Exception as error:
            self.metrics.loads.labels("refused").inc()
            log.error(
                "run refused",
                exc_info=None if isinstance(error, NegGenError) else error,
                extra={"fields": {"run": folder.name, "reason": str(error)}},
            )
            raise Refusal(
                409,
                f"{folder.name} is refused and {self.current.version} served as before: {error}",
                "run_refused",
            ) from error
        self.current, self._taken = loaded, pointed
        self._serve(loaded)
        return loaded

    def _pointed(self) -> tuple[Path, int] | None:
        """Return where the pointer leads and when that was written; None while it leads nowhere."""
        try:
            folder = follow(self.settings.run)
            return folder, (folder / "run.toml").stat().st_mtime_ns
        except (NegGenError, OSError):
            return None

    def _serve(self, loaded: Loaded) -> None:
        index = loaded.index
        self.metrics.served(loaded.model.name, loaded.version, index.kind, index.recall)
        fields = {"model_version": loaded.version, "index": index.kind, "recall": index.recall}
        log.info("run served", extra={"fields": fields})


def _stand_back() -> None:
    """Let the threads that answer go before this one, where threads have a niceness."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND)
