"""What the doctor looks at: the installation, a workspace, an endpoint.

A check returns a sentence about what is well, a :class:`Note`, or nothing to say, ``""``; it raises
what is wrong as a ``NegGenError`` that says how to mend it.
"""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[], str]


class Note(str):
    """A finding that is no failure, yet worth acting on."""

    __slots__ = ()
