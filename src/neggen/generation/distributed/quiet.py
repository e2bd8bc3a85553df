"""What Ray prints past Python while it starts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2
WAIT_SECONDS = 5.0
"""For what was printed last; a child that kept the pipe goes on printing through it."""


@contextmanager
def without_lines(about: bytes) -> Iterator[None]:
    """Let all lines through to standard error meanwhile but those that contain ``about``.

    This holds for whatever this process prints, also from C++ and other threads.
    """
    kept = os.dup(STDERR)
    source, pipe = os.pipe()

    def forward() -> None:
        with os.fdopen(source, "rb") as lines, os.fdopen(kept, "wb", buffering=0) as out:
            for line in lines:
                if about not in line:
                    out.write(line)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    os.dup2(pipe, STDERR)
    os.close(pipe)
    try:
        yield
    finally:
        os.dup2(kept, STDERR)
        thread.join(WAIT_SECONDS)
