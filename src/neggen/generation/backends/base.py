"""What every backend offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from neggen.errors import NegGenError
from neggen.generation.requests import Completion, Request


class RequestFailed(Exception):
    """This request got no answer, though others may.

    A backend raises ``NegGenError`` instead when no request can succeed, such as for a wrong key.

    Attributes:
        kind: two or three words to count by, such as ``http 500``.
        reason: a sentence for the journal.
        cost: US dollars that the failed tries may have been billed; None where no price is known.
    """

    def __init__(self, kind: str, reason: str, cost: float | None = None) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.cost = cost


class Stop(Exception):
    """No further request may be sent, though nothing went wrong; the message is the reason.

    What is in flight still counts, and records are written of what there is.

    Attributes:
        cost: US dollars that failed tries of this request may have been billed; None if none were.
    """

    def __init__(self, reason: str, cost: float | None = None) -> None:
        super().__init__(reason)
        self.cost = cost


class Ended(NegGenError):
    """No request can succeed any more; the message says why.

    Attributes:
        cost: US dollars that tries of this request may have been billed; None if none were.
    """

    def __init__(self, reason: str, cost: float | None = None) -> None:
        super().__init__(reason)
        self.cost = cost


class Deferred(Exception):
    """This request is answered later, in another run; its item stays as it is until then."""


class Backend(Protocol):
    """Answers requests. One instance serves many concurrent requests of one event loop.

    Attributes:
        name: what wrote the answers, for people.
        model: the model's id, or None.
        parameters: everything else that changes answers, as JSON values; part of the journal key.
        finished: whether it only knows finished answers. Such a backend serves the fused plan only
            and is never asked twice, because it would say the same again.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str | None: ...  # noqa: D102
    @property
    def parameters(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def finished(self) -> bool: ...  # noqa: D102

    async def complete(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            RequestFailed: If this request gets no answer.
            Stop: If the run should end here, such as at the limit of a budget.
            Deferred: If the answer comes in a later run.
            NegGenError: If no request can succeed.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def generator_name(name: str, model: str | None) -> str:
    """Return how records and the journal name a backend and its model.

    >>> generator_name("local", "qwen"), generator_name("recorded", None)
    ('local: qwen', 'recorded')
    """
    return name if model is None else f"{name}: {model}"
