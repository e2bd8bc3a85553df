"""The one exception a user's mistake ends in, and the nearest-name hint that goes with it."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class NegGenError(Exception):
    """Something the user can mend.

    The message is one sentence that says what is wrong, where, and how to mend it. The command
    line prints it without a traceback and exits with code 2.
    """


class TooLittleMemory(NegGenError):
    """There is less memory than is needed, which may be otherwise another time."""


@contextmanager
def from_extra(extra: str, need: str) -> Iterator[None]:
    """Import, inside of this, what an extra brings.

    >>> with from_extra("tune", "Tuning needs Optuna"):
    ...     import json

    Raises:
        NegGenError: If the import fails; it starts with ``need``.
    """
    try:
        yield
    except ImportError as error:
        raise not_installed(extra, f"{need} ({error})") from None


def not_installed(extra: str, need: str) -> NegGenError:
    """Return the error for what an extra would bring; it starts with ``need``."""
    return NegGenError(f'{need}; install what is missing with: pip install "neggen[{extra}]"')


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an exception says, without a full stop, or else its name.

    >>> first_line(ValueError("Too long.\nAnd too wide."))
    'Too long'
    """
    lines = str(error).strip().splitlines()
    return lines[0].strip().removesuffix(".") if lines else type(error).__name__


def nearest(name: str, options: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the option closest to ``name``, or an empty string.

    >>> nearest("itemid", ["item_id", "title"])
    " Did you mean 'item_id'?"
    """
    by_lower = {option.lower(): option for option in options}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""


def quoted(word: object) -> str:
    """Return a path or a value as one word of a command to be copied.

    >>> quoted("my shop")
    "'my shop'"
    """
    return shlex.quote(str(word))
