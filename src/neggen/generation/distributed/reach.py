"""Whether a Ray cluster answers at an address: Ray itself tries for minutes, and prints them."""

from __future__ import annotations

import socket
import subprocess
import sys
from urllib.parse import urlsplit

CONNECT_SECONDS = 5.0
"""How long to try whether anything listens at an address."""
CHECK_SECONDS = 60.0
"""How long Ray's own check may take, on a busy machine too."""


def check_reachable(address: str) -> None:
    """Return if a cluster answers.

    Args:
        address: ``host:port``, ``auto`` or ``ray://host:port``; of the last it is only tried
            whether anything listens there.

    Raises:
        OSError: If none does; says why.
        ValueError: If that is no address.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname and parts.port:
        with socket.create_connection((parts.hostname, parts.port), CONNECT_SECONDS):
            pass
    if parts.scheme:
        return
    # In a process of its own, since the code that tries prints past Python. Ends with 2 where Ray
    # has no such command; then ray.init tells.
    check = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        checked = subprocess.run(
            check, capture_output=True, text=True, errors="replace", timeout=CHECK_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"what listens there said nothing in {CHECK_SECONDS:.0f} s") from None
    if checked.returncode == 1:
        *_, last = checked.stderr.strip().splitlines() or ["no reason given"]
        raise ConnectionError(last.partition(": ")[2] or last)
