"""The one exception a user's mistake ends in, and the nearest-name hint that goes with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NegGenError(Exception):
    """Something the user can mend.

    The message is one sentence that says what is wrong, where, and how to mend it. The command
    line prints it without a traceback and exits with code 2.
    """


def nearest(name: str, options: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the option closest to ``name``, or an empty string.

    >>> nearest("itemid", ["item_id", "title"])
    " Did you mean 'item_id'?"
    """
    by_lower = {option.lower(): option for option in options}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
