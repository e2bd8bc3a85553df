"""The assertion that something is refused with a helpful sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neggen.errors import NegGenError


@contextmanager
def refuses(*words: str) -> Iterator[None]:
    """Assert that the block raises a NegGenError whose message holds all ``words``."""
    message = None
    try:
        yield
    except NegGenError as error:
        message = str(error)
    assert message is not None, f"nothing was refused; expected a NegGenError with {words}"
    assert all(word in message for word in words), f"{words} should be in: {message}"
